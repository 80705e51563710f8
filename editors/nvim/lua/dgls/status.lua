--- What each server last said of itself (`dgls/status`), and how that is shown.

local M = {}

---@class dgls.Status
---@field state 'loading'|'ready'|'working'|'resting'|'paused'|'failed'
---@field model string
---@field device string?
---@field message string
---@field percent integer?

local known = {} ---@type table<integer, dgls.Status> by client
local said ---@type string? what did not fit on the screen's last line

--- Columns of the last line that Neovim keeps for itself: a message that reaches into them wants Enter pressed.
local KEPT = 13

--- Show what the server has to say (`window/showMessage`). Of a long line the rest is told by `:Dgls status`.
---@param message lsp.ShowMessageParams
function M.say(message)
  local text, room = message.message, vim.o.columns - KEPT
  local fits = vim.api.nvim_strwidth(text) <= room and not text:find('\n')
  said = not fits and text or nil
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
  known[client_id] = status
  vim.cmd.redrawstatus({ bang = true })
end

---@param client_id integer
function M.forget(client_id)
  known[client_id] = nil
  vim.cmd.redrawstatus({ bang = true })
end

---@param client_id integer
---@return dgls.Status?
function M.of(client_id)
  return known[client_id]
end

--- For the statusline: `dgls` when it is ready, else with what it does beside it.
---@param bufnr integer
---@return string
function M.short(bufnr)
  local client = require('dgls.server').of(bufnr)
  if not client then
    return ''
  end
  local status = known[client.id]
  if not status then
    return 'dgls: starting'
  end
  local percent = status.percent and (' %d%%'):format(status.percent) or ''
  return status.state == 'ready' and 'dgls' or ('dgls: %s%s'):format(status.state, percent)
end

--- For people who ask.
---@param bufnr integer
---@return string
function M.long(bufnr)
  local client = require('dgls.server').of(bufnr)
  if not client then
    return 'dgls: no server is attached to this buffer; see :checkhealth dgls'
  end
  local status = known[client.id]
  if not status then
    return 'dgls: starting'
  end
  local device = status.device and (' on ' .. status.device) or ''
  local message = status.message ~= '' and ('; ' .. status.message) or ''
  local state = M.short(bufnr):gsub('^dgls$', 'dgls: ready')
  return ('%s, %s%s%s%s'):format(state, status.model, device, message, said and ('\n' .. said) or '')
end

return M
