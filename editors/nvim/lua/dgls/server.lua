--- The server's process: its command, the client of a buffer, and restarts.

local M = {}

--- After more than so many unexpected ends in so many seconds the server is not restarted.
local MOST_RESTARTS, WITHIN_SECONDS = 3, 180

local ends = {} ---@type number[]

--- The checkout of dgls, if this plugin is part of one.
local function checkout()
  return vim.fs.abspath(vim.fs.joinpath(debug.getinfo(1, 'S').source:sub(2), '../../../../..'))
end

--- `dgls` on PATH, else the one in the checkout. If both are missing, Neovim reports that `dgls` is missing.
---@return string[]
function M.command()
  local built = vim.fs.joinpath(checkout(), '.venv', vim.fn.has('win32') == 1 and 'Scripts' or 'bin', 'dgls')
  local program = vim.fn.executable('dgls') == 0 and vim.fn.executable(built) == 1 and built or 'dgls'
  return { program, 'serve' }
end

---@param bufnr integer
---@return vim.lsp.Client?
function M.of(bufnr)
  return vim.lsp.get_clients({ bufnr = bufnr, name = 'dgls' })[1]
end

--- As `M.of`; shows a warning if there is none.
---@param bufnr integer
---@return vim.lsp.Client?
function M.needed(bufnr)
  local client = M.of(bufnr)
  if not client then
    vim.notify('dgls: no server is attached to this buffer; see :checkhealth dgls', vim.log.levels.WARN)
  end
  return client
end

--- The strengths of refining that the server announces, in its order.
---@param client vim.lsp.Client?
---@return { name: string, strength: number }[]
function M.strengths(client)
  return vim.tbl_get(client or {}, 'server_capabilities', 'experimental', 'dgls', 'strengths') or {}
end

--- Called when a server has ended, outside the main loop. Restarts it if it ended unexpectedly.
---@param code integer
---@param signal integer
---@param client_id integer
function M.ended(code, signal, client_id)
  vim.schedule(function()
    require('dgls.status').forget(client_id)
    require('dgls.drafts').forget(client_id)
    require('dgls.next_edit').forget(client_id)
    local expected = (code == 0 and (signal == 0 or signal == 15)) or vim.v.exiting ~= vim.NIL
    if expected or not vim.lsp.is_enabled('dgls') then
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
