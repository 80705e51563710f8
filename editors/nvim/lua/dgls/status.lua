--- Keeps and shows the last status of each server (`dgls/status`).

local M = {}

---@class dgls.Status
---@field state 'loading'|'ready'|'working'|'resting'|'paused'|'failed'
---@field model string
---@field device string?
---@field message string
---@field percent integer?
---@field health string?
---@field holder string?

local statuses = {} ---@type table<integer, dgls.Status> by client
local long_message ---@type string? the last message, if it did not fit on the screen's last line

--- Columns that Neovim needs in the last line. A message that reaches into them needs Enter to be pressed.
local RESERVED = 13

--- Show a message of the server (`window/showMessage`). A long one is cut; `:Dgls status` shows all of it.
---@param message lsp.ShowMessageParams
function M.say(message)
  local text, room = message.message, vim.o.columns - RESERVED
  local fits = vim.api.nvim_strwidth(text) <= room and not text:find('\n')
  long_message = not fits and text or nil
  if not fits then
    local more = '… :Dgls status'
    text = vim.fn.strcharpart(text:gsub('\n.*', ''), 0, room - vim.api.nvim_strwidth(more)) .. more
  end
  vim.notify(text, vim.log.levels.ERROR + vim.lsp.protocol.MessageType.Error - message.type)
end

---@param client_id integer
---@param status dgls.Status
function M.set(client_id, status)
  for field, value in pairs(status) do
    status[field] = value ~= vim.NIL and value or nil
  end
  statuses[client_id] = status
  vim.cmd.redrawstatus({ bang = true })
end

---@param client_id integer
function M.forget(client_id)
  statuses[client_id] = nil
  vim.cmd.redrawstatus({ bang = true })
end

---@param client_id integer
---@return dgls.Status?
function M.of(client_id)
  return statuses[client_id]
end

--- For the statusline: `dgls` if the server is ready, else with its state.
---@param bufnr integer
---@return string
function M.short(bufnr)
  local client = require('dgls.server').of(bufnr)
  if not client then
    return ''
  end
  local status = statuses[client.id]
  if not status then
    return 'dgls: starting'
  end
  local percent = status.percent and (' %d%%'):format(status.percent) or ''
  return status.state == 'ready' and 'dgls' or ('dgls: %s%s'):format(status.state, percent)
end

--- For `:Dgls status`.
---@param bufnr integer
---@return string
function M.long(bufnr)
  local client = require('dgls.server').of(bufnr)
  if not client then
    return 'dgls: no server is attached to this buffer; see :checkhealth dgls'
  end
  local status = statuses[client.id]
  if not status then
    return 'dgls: starting'
  end
  local device = status.device and (' on ' .. status.device) or ''
  local health = (status.health or '') ~= '' and (', ' .. status.health) or ''
  local holder = (status.holder or '') ~= '' and (", in another window's dgls (%s)"):format(status.holder) or ''
  local message = status.message ~= '' and ('; ' .. status.message) or ''
  local state = M.short(bufnr):gsub('^dgls$', 'dgls: ready')
  return ('%s, %s%s%s%s%s%s'):format(
    state,
    status.model,
    device,
    holder,
    health,
    message,
    long_message and ('\n' .. long_message) or ''
  )
end

return M
