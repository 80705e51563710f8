--- Shows the rest of a suggestion after a part of it was accepted, until Neovim shows the server's next answer.
---
--- Neovim hides an accepted suggestion and requests the next one 200 ms later. Without this module the rest would
--- blink, and a second word could not be accepted at once.

local overlay = require('dgls.overlay')

local M = {}

local namespace = vim.api.nvim_create_namespace('dgls.remainder')
local group = vim.api.nvim_create_augroup('dgls.remainder', {})

---@type { buf: integer, tick: integer, row: integer, col: integer, text: string }?
local left

local function hide()
  if left and vim.api.nvim_buf_is_valid(left.buf) then
    vim.api.nvim_buf_clear_namespace(left.buf, namespace, 0, -1)
  end
  left = nil
  vim.api.nvim_clear_autocmds({ group = group })
end

--- Whether the rest still applies: the text is the same, the cursor has not moved, the mode is Insert.
local function holds()
  if not left or vim.api.nvim_get_current_buf() ~= left.buf or vim.fn.mode() ~= 'i' then
    return false
  end
  local row, col = unpack(vim.api.nvim_win_get_cursor(0))
  return row == left.row and col == left.col and vim.api.nvim_buf_get_changedtick(left.buf) == left.tick
end

--- The rest without the text typed since; empty if the typed text contradicts it.
---@return string
local function untyped()
  local row, col = unpack(vim.api.nvim_win_get_cursor(0))
  if not left or vim.api.nvim_get_current_buf() ~= left.buf or row ~= left.row or vim.fn.mode() ~= 'i' then
    return ''
  end
  local typed = vim.api.nvim_get_current_line():sub(left.col + 1, col)
  return typed ~= '' and vim.startswith(left.text, typed) and left.text:sub(#typed + 1) or ''
end

---@return boolean
function M.shown()
  return holds()
end

--- Hide the text and return it.
---@return string?
function M.take()
  local text = holds() and left and left.text or nil
  hide()
  return text
end

--- Show `text` at the cursor.
---@param text string
function M.show(text)
  hide()
  if text == '' then
    return
  end
  local buf, cursor = vim.api.nvim_get_current_buf(), vim.api.nvim_win_get_cursor(0)
  left = { buf = buf, tick = vim.api.nvim_buf_get_changedtick(buf), row = cursor[1], col = cursor[2], text = text }
  local lines = overlay.lines({ { text, 'ComplHint' } })
  overlay.insert(buf, namespace, cursor[1] - 1, cursor[2], lines)
  vim.api.nvim_create_autocmd({ 'CursorMovedI', 'TextChangedI', 'InsertLeave', 'BufLeave' }, {
    group = group,
    callback = function()
      if not holds() then
        M.show(untyped())
      end
    end,
  })
  vim.api.nvim_create_autocmd('LspRequest', {
    group = group,
    buffer = buf,
    callback = function(event)
      local request = event.data.request
      if request.method == 'textDocument/inlineCompletion' and request.type == 'complete' then
        hide()
      end
    end,
  })
end

return M
