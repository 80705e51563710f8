--- Shows virtual text among the buffer's text. Knows buffers and extmarks, not what the text means.

local M = {}

---@alias dgls.Chunk [string, string] text and highlight group

--- Split chunks at their line breaks.
---@param chunks dgls.Chunk[]
---@return dgls.Chunk[][]
function M.lines(chunks)
  local lines = { {} }
  for _, chunk in ipairs(chunks) do
    for index, part in ipairs(vim.split((chunk[1]:gsub('\r', '')), '\n', { plain = true })) do
      if index > 1 then
        lines[#lines + 1] = {}
      end
      if part ~= '' then
        table.insert(lines[#lines], { part, chunk[2] })
      end
    end
  end
  return lines
end

--- Replace tabs with blanks of the buffer's tab width, because virtual text shows a tab as ^I.
---@param buf integer
---@param line dgls.Chunk[]
---@param column? integer screen column of its start
---@return dgls.Chunk[]
---@return integer width
function M.untabbed(buf, line, column)
  local size, width = vim.bo[buf].tabstop, column or 0
  local shown = {}
  for _, chunk in ipairs(line) do
    local text = ''
    for part, tab in chunk[1]:gmatch('([^\t]*)(\t?)') do
      local blanks = tab == '' and 0 or size - (width + vim.api.nvim_strwidth(part)) % size
      text = text .. part .. (' '):rep(blanks)
      width = width + vim.api.nvim_strwidth(part) + blanks
    end
    shown[#shown + 1] = { text, chunk[2] }
  end
  return shown, width - (column or 0)
end

--- Show `lines` as if they were inserted: the first one inline, the others below.
---@param buf integer
---@param namespace integer
---@param row integer
---@param col integer byte
---@param lines dgls.Chunk[][]
---@param mode? 'combine'|'replace' whether the look of the text around it is mixed in, the default
function M.insert(buf, namespace, row, col, lines, mode)
  local before = vim.api.nvim_buf_get_text(buf, row, 0, row, col, {})[1]
  vim.api.nvim_buf_set_extmark(buf, namespace, row, col, {
    virt_text = #lines[1] > 0 and M.untabbed(buf, lines[1], vim.fn.strdisplaywidth(before)) or nil,
    virt_text_pos = 'inline',
    virt_lines = M.below(buf, vim.list_slice(lines, 2)),
    virt_lines_overflow = 'scroll',
    hl_mode = mode or 'combine',
  })
end

--- Lines in the form that `virt_lines` takes.
---@param buf integer
---@param lines dgls.Chunk[][]
---@return dgls.Chunk[][]
function M.below(buf, lines)
  return vim.tbl_map(function(line)
    local shown = M.untabbed(buf, line)
    return #shown > 0 and shown or { { '', 'Normal' } }
  end, lines)
end

--- Show `lines` below the text that they would replace, and highlight that text with `replaced`. The rest of the first
--- and of the last line is repeated around them, so that they show as whole lines.
---@param buf integer
---@param namespace integer
---@param place { top: integer, left: integer, bottom: integer, right: integer } rows and bytes
---@param lines dgls.Chunk[][]
---@param replaced string
function M.replace(buf, namespace, place, lines, replaced)
  local first = vim.api.nvim_buf_get_lines(buf, place.top, place.top + 1, true)[1]
  local last = vim.api.nvim_buf_get_lines(buf, place.bottom, place.bottom + 1, true)[1]
  local whole = vim.deepcopy(lines)
  table.insert(whole[1], 1, { first:sub(1, place.left), replaced })
  table.insert(whole[#whole], { last:sub(place.right + 1), replaced })
  vim.api.nvim_buf_set_extmark(buf, namespace, place.top, place.left, {
    end_row = place.bottom,
    end_col = place.right,
    hl_group = replaced,
    priority = 200, -- above syntax highlighting
  })
  vim.api.nvim_buf_set_extmark(buf, namespace, place.bottom, 0, {
    virt_lines = M.below(buf, whole),
    virt_lines_overflow = 'scroll',
  })
end

return M
