--- Shows edits as a diff in the buffer: the removed lines are highlighted, the new lines appear below them. Knows
--- buffers and text edits, not where the edits come from.

local overlay = require('dgls.overlay')

local M = {}

---@param buf integer
---@param edits lsp.TextEdit[]
---@param encoding string
---@return string[] old lines
---@return string[] new lines
local function before_and_after(buf, edits, encoding)
  local old = vim.api.nvim_buf_get_lines(buf, 0, -1, true)
  local scratch = vim.api.nvim_create_buf(false, true)
  vim.bo[scratch].undolevels = -1
  vim.api.nvim_buf_set_lines(scratch, 0, -1, true, old)
  vim.lsp.util.apply_text_edits(vim.deepcopy(edits), scratch, encoding)
  local new = vim.api.nvim_buf_get_lines(scratch, 0, -1, true)
  vim.api.nvim_buf_delete(scratch, { force = true })
  return old, new
end

--- Lengths in bytes of the common start and the common end of two lines, in whole characters.
local function common(one, other)
  local most = math.min(#one, #other)
  local first = 0
  while first < most and one:byte(first + 1) == other:byte(first + 1) do
    first = first + 1
  end
  if first < #one then
    first = first + vim.str_utf_start(one, first + 1)
  end
  local last = 0
  while last < most - first and one:byte(-last - 1) == other:byte(-last - 1) do
    last = last + 1
  end
  if last > 0 then
    last = last - (vim.str_utf_start(one, #one - last + 1) < 0 and 1 + vim.str_utf_end(one, #one - last + 1) or 0)
  end
  return first, last
end

--- A new line with the changed part highlighted; without that if the two lines share little.
---@param new string
---@param old string? nil if the numbers of old and new lines differ
---@return dgls.Chunk[]
local function marked(new, old)
  local first, last = common(new, old or new)
  local same = #vim.trim(new:sub(1, first)) + last
  if not old or 3 * same < #vim.trim(new) then
    return { { new, 'DglsNew' } }
  end
  return {
    { new:sub(1, first), 'DglsNew' },
    { new:sub(first + 1, #new - last), 'DglsNewText' },
    { new:sub(#new - last + 1), 'DglsNew' },
  }
end

---@param win integer
---@param buf integer
---@param lines dgls.Chunk[][]
local function filled(win, buf, lines)
  local room = vim.api.nvim_win_get_width(win) - vim.fn.getwininfo(win)[1].textoff
  return vim.tbl_map(function(line)
    local shown, width = overlay.untabbed(buf, line)
    shown[#shown + 1] = { (' '):rep(room - width), 'DglsNew' }
    return shown
  end, lines)
end

--- Highlight a hunk's old lines, and add its new lines to `below`, by the row above them (-1: at the top).
---@param hunk integer[] first row and number of the old lines, of the new lines; rows from 1
local function draw_hunk(buf, namespace, old, new, hunk, below)
  local old_first, old_count, new_first, new_count = unpack(hunk)
  if old_count > 0 then
    vim.api.nvim_buf_set_extmark(buf, namespace, old_first - 1, 0, {
      end_row = old_first - 1 + old_count,
      hl_group = 'DglsOld',
      hl_eol = true,
      priority = 200, -- above syntax highlighting
      strict = false, -- there is no row after the last line
    })
  end
  -- If a hunk has no old lines, `old_first` is the line above it.
  local row = old_first - 1 + math.max(old_count - 1, 0)
  below[row] = below[row] or {}
  for index = 0, new_count - 1 do
    table.insert(below[row], marked(new[new_first + index], old_count == new_count and old[old_first + index] or nil))
  end
end

--- Show edits that are not applied yet. Returns the numbers of removed and of new lines.
---@param win integer
---@param namespace integer
---@param edits lsp.TextEdit[]
---@param encoding string
---@return integer removed
---@return integer added
function M.paint(win, namespace, edits, encoding)
  local buf = vim.api.nvim_win_get_buf(win)
  vim.api.nvim_buf_clear_namespace(buf, namespace, 0, -1)
  local old, new = before_and_after(buf, edits, encoding)
  local hunks = vim.text.diff(table.concat(old, '\n') .. '\n', table.concat(new, '\n') .. '\n', {
    result_type = 'indices',
    linematch = true,
  }) --[[@as integer[][] ]]
  local removed, added = 0, 0
  local below = {} ---@type table<integer, dgls.Chunk[][]>
  for _, hunk in ipairs(hunks) do
    draw_hunk(buf, namespace, old, new, hunk, below)
    removed, added = removed + hunk[2], added + hunk[4]
  end
  for row, lines in pairs(below) do
    vim.api.nvim_buf_set_extmark(buf, namespace, math.max(row, 0), 0, {
      virt_lines = filled(win, buf, lines),
      virt_lines_above = row < 0,
      virt_lines_overflow = 'scroll',
    })
  end
  return removed, added
end

return M
