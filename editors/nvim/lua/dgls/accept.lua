--- Accepts the suggestion that Neovim shows: all of it, its next word, or its next line.
---
--- Neovim requests a new suggestion 200 ms after a key. Accepting the old item before the answer would insert the typed
--- text twice. So this module removes the typed text from the item, or refuses the item if the two disagree.

local remainder = require('dgls.remainder')

local M = {}

--- The parts of a suggestion that can be accepted: a word (by the buffer's 'iskeyword') or a run of other characters,
--- with the blanks before it; a line, with the line break before it.
local PARTS = { word = [[^\_s*\%(\k\+\|\%(\k\@!\S\)\+\)]], line = [[^\n\?[^\n]*]] }

--- Whether Neovim shows ghost text. It also keeps an item that was typed to its end and shows nothing.
local function is_shown()
  local namespace = vim.api.nvim_get_namespaces()['nvim.lsp.inline_completion']
  local marks = namespace and vim.api.nvim_buf_get_extmarks(0, namespace, 0, -1, { details = true }) or {}
  return vim.iter(marks):any(function(mark)
    local details = mark[4]
    return details.virt_lines ~= nil or vim.iter(details.virt_text or {}):any(function(chunk)
      return chunk[1] ~= ''
    end)
  end)
end

---@param part 'all'|'word'|'line'
---@return boolean
function M.accept(part)
  if remainder.shown() then
    vim.schedule(function() -- a mapping with <expr> must not change text
      local text = remainder.take()
      if text then
        M._insert(text, part, 0)
      end
    end)
    return true
  end
  return is_shown() and vim.lsp.inline_completion.get({
    on_accept = function(item)
      local client = vim.lsp.get_client_by_id(item.client_id)
      if not client or client.name ~= 'dgls' then
        return item
      end
      M._accept(item, part)
    end,
  })
end

--- Applies the item here, because Neovim would apply all of it.
function M._accept(item, part)
  local buf = vim.api.nvim_get_current_buf()
  local row, col = unpack(vim.api.nvim_win_get_cursor(0))
  local top, left, bottom, right = item.range:to_extmark()
  local text = item.insert_text
  if item.range.buf ~= buf or row - 1 < top or (row - 1 == top and col < left) then
    return
  end
  local typed = table.concat(vim.api.nvim_buf_get_text(buf, top, left, row - 1, col, {}), '\n')
  if not vim.startswith(text, typed) then
    return
  end
  -- The server's range is empty at the cursor, or covers the blanks at the end of the line.
  local rest = vim.api.nvim_get_current_line():sub(col + 1)
  local over = (bottom > top or right > left) and not rest:find('%S') and #rest or 0
  M._insert(text:sub(#typed + 1), part, over)
end

--- Insert `part` of `text` at the cursor, instead of the `over` bytes right of it, and show the rest.
---@param text string
---@param part 'all'|'word'|'line'
---@param over integer
function M._insert(text, part, over)
  local accepted = PARTS[part] and vim.fn.matchstr(text, PARTS[part]) or text
  accepted = accepted ~= '' and accepted or text
  local row, col = unpack(vim.api.nvim_win_get_cursor(0))
  local lines = vim.split(accepted, '\n', { plain = true })
  vim.go.undolevels = vim.go.undolevels -- starts a new undo step
  vim.api.nvim_buf_set_text(0, row - 1, col, row - 1, col + over, lines)
  vim.api.nvim_win_set_cursor(0, { row + #lines - 1, (#lines == 1 and col or 0) + #lines[#lines] })
  remainder.show(text:sub(#accepted + 1))
end

return M
