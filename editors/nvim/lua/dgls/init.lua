--- Functions for mappings and the statusline. Everything else is `:Dgls`; see `:help dgls`.

local M = {}

--- Accept the suggestion. Returns false if there is none, so that a mapping can fall back.
---@return boolean
function M.accept()
  return require('dgls.accept').accept('all')
end

--- Accept its next word, and keep showing the rest.
---@return boolean
function M.accept_word()
  return require('dgls.accept').accept('word')
end

--- Accept it up to the end of its line, and keep showing the rest.
---@return boolean
function M.accept_line()
  return require('dgls.accept').accept('line')
end

--- Jump to the next edit that is proposed, or apply it if the cursor is in its line. Without a proposal ask for one.
function M.next_edit()
  require('dgls.next_edit').next()
end

--- Jump to the next edit that is proposed, or apply it. Returns false if there is none.
---@return boolean
function M.accept_next_edit()
  return require('dgls.next_edit').accept()
end

--- Dismiss the next edit that is proposed; its place is not proposed again. Returns false if there is none.
---@return boolean
function M.dismiss_next_edit()
  return require('dgls.next_edit').dismiss()
end

--- What the server of the current buffer is doing, in a word or two; empty without a server.
---@return string
function M.statusline()
  return require('dgls.status').short(vim.api.nvim_get_current_buf())
end

return M
