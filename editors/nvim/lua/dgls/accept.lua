--- Accepting the suggestion that Neovim shows: all of it, its next word, or its next line.
---
--- Neovim asks anew 200 ms after a letter was typed, and an item that is accepted before the answer would double what
--- was typed since. Here the item takes in what was typed if that agrees with it, and is refused if it doesn't.

local remainder = require('dgls.remainder')

local M = {}

--- The parts of a suggestion that a person accepts: a word (as the buffer's 'iskeyword' has it) or a run of other
--- signs, with the blanks before it; a line, with the break before it.
local PARTS = { word = [[^\_s*\%(\k\+\|\%(\k\@!\S\)\+\)]], line = [[^\n\?[^\n]*]] }

--- Is there ghost text of Neovim's on the screen? It holds on to an item that was typed through, of which nothing is left.
local function is_shown()
  local namespace = vim.api.nvim_get_namespaces()['nvim.lsp.inline_completion']
  local marks = namespace and vim.api.nvim_buf_get_extmarks(0, namespace, 0, -1, { details = true }) or {}
  return vim.iter(marks):any(function(mark)
    local shown = mark[4]
    return shown.virt_lines ~= nil or vim.iter(shown.virt_text or {}):any(function(chunk)
      return chunk[1] ~= ''
    end)
  end)
end

---@param part 'all'|'word'|'line'
---@return boolean
function M.accept(part)
  if remainder.shown() then
    vim.schedule(function() -- a mapping with <expr> may change no text
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

--- Applies the item itself: Neovim would apply it whole.
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
  -- The server's range is empty at the cursor, or takes the blanks that end the line.
  local rest = vim.api.nvim_get_current_line():sub(col + 1)
  local over = (bottom > top or right > left) and not rest:find('%S') and #rest or 0
  M._insert(text:sub(#typed + 1), part, over)
end

--- Insert `part` of `text` at the cursor, instead of the `over` bytes right of it, and show the rest.
---@param text string
---@param part 'all'|'word'|'line'
---@param over integer
function M._insert(text, part, over)
  local now = PARTS[part] and vim.fn.matchstr(text, PARTS[part]) or text
  now = now ~= '' and now or text
  local row, col = unpack(vim.api.nvim_win_get_cursor(0))
  local lines = vim.split(now, '\n', { plain = true })
  vim.go.undolevels = vim.go.undolevels -- what is accepted is a step of its own for undo
  vim.api.nvim_buf_set_text(0, row - 1, col, row - 1, col + over, lines)
  vim.api.nvim_win_set_cursor(0, { row + #lines - 1, (#lines == 1 and col or 0) + #lines[#lines] })
  remainder.show(text:sub(#now + 1))
end

return M
