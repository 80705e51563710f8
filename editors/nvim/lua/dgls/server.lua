--- The server's process: where it is found, which one serves a buffer, and what to do when it ends.

local M = {}

--- A server that ends so many times in so many seconds is not started again.
local MOST_RESTARTS, WITHIN_SECONDS = 3, 180

local ends = {} ---@type number[]

--- The checkout that this plugin may be part of.
local function checkout()
  return vim.fs.abspath(vim.fs.joinpath(debug.getinfo(1, 'S').source:sub(2), '../../../../..'))
end

--- `dgls` on PATH, else that of the checkout. If neither is there the first is named, for Neovim to say so.
---@return string[]
function M.command()
  local own = vim.fs.joinpath(checkout(), '.venv', vim.fn.has('win32') == 1 and 'Scripts' or 'bin', 'dgls')
  local found = vim.fn.executable('dgls') == 0 and vim.fn.executable(own) == 1 and own or 'dgls'
  return { found, 'serve' }
end

---@param bufnr integer
---@return vim.lsp.Client?
function M.of(bufnr)
  return vim.lsp.get_clients({ bufnr = bufnr, name = 'dgls' })[1]
end

--- As `M.of`; says so where there is none.
---@param bufnr integer
---@return vim.lsp.Client?
function M.needed(bufnr)
  local client = M.of(bufnr)
  if not client then
    vim.notify('dgls: no server is attached to this buffer; see :checkhealth dgls', vim.log.levels.WARN)
  end
  return client
end

--- How strongly a selection can be refined, as the server of a buffer says: in its order, by name.
---@param client vim.lsp.Client?
---@return { name: string, strength: number }[]
function M.strengths(client)
  return vim.tbl_get(client or {}, 'server_capabilities', 'experimental', 'dgls', 'strengths') or {}
end

--- Called when a server has ended, on whatever thread of the loop. One that was not asked to is started again.
---@param code integer
---@param signal integer
---@param client_id integer
function M.ended(code, signal, client_id)
  vim.schedule(function()
    require('dgls.status').forget(client_id)
    require('dgls.drafts').forget(client_id)
    local asked = (code == 0 and (signal == 0 or signal == 15)) or vim.v.exiting ~= vim.NIL
    if asked or not vim.lsp.is_enabled('dgls') then
      return
    end
    local now = vim.uv.now() / 1000
    ends = vim.tbl_filter(function(at)
      return now - at < WITHIN_SECONDS
    end, ends)
    ends[#ends + 1] = now
    if #ends > MOST_RESTARTS then
      vim.notify('dgls: the server keeps ending; see :Dgls log, then :lsp enable dgls', vim.log.levels.ERROR)
      return
    end
    vim.lsp.enable('dgls')
  end)
end

return M
