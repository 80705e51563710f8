--- Candidates of a rewrite, shown as a diff in place: what would go is painted, what would come stands below it. A bar
--- at the foot of the window takes the keys. Nothing changes before a candidate is accepted.

local overlay = require('dgls.overlay')

local M = {}

local namespace = vim.api.nvim_create_namespace('dgls.preview')

---@class dgls.Where
---@field buf integer
---@field win integer
---@field cursor [integer, integer] when the rewrite was asked for
---@field encoding string

---@class dgls.Preview
---@field where dgls.Where
---@field candidates table[] as the server returns them
---@field index integer
---@field again fun()
---@field bar integer? window
---@field tick integer of the text that the candidates are about

---@type dgls.Preview?
local open

---@param candidate table
---@return lsp.TextEdit[]
local function edits_of(candidate)
  local edits = {}
  for _, change in ipairs(candidate.edit.documentChanges or {}) do
    vim.list_extend(edits, change.edits)
  end
  for _, of_one in pairs(candidate.edit.changes or {}) do
    vim.list_extend(edits, of_one)
  end
  return vim.tbl_map(function(edit) -- without annotations: who looks at a preview needs no other question
    return { range = edit.range, newText = edit.newText }
  end, edits)
end

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

--- The bytes that two lines begin and end with, whole characters.
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

--- A new line, with what its old one has not set off.
---@param new string
---@param old string? none where lines don't go one by one
---@return dgls.Chunk[]
local function marked(new, old)
  local first, last = common(new, old or new)
  if not old or first + last == 0 then
    return { { new, 'DglsNew' } }
  end
  return {
    { new:sub(1, first), 'DglsNew' },
    { new:sub(first + 1, #new - last), 'DglsNewText' },
    { new:sub(#new - last + 1), 'DglsNew' },
  }
end

---@param where dgls.Where
---@param lines dgls.Chunk[][]
local function filled(where, lines)
  local room = vim.api.nvim_win_get_width(where.win) - vim.fn.getwininfo(where.win)[1].textoff
  return vim.tbl_map(function(line)
    local shown, width = overlay.untabbed(where.buf, line)
    shown[#shown + 1] = { (' '):rep(room - width), 'DglsNew' }
    return shown
  end, lines)
end

--- Paint what a hunk takes away, and add what it brings to `below`, by the row that it stands below (-1: at the top).
---@param hunk integer[] first row and number of the old lines, of the new lines; rows from 1
local function draw_hunk(where, old, new, hunk, below)
  local old_first, old_count, new_first, new_count = unpack(hunk)
  if old_count > 0 then
    vim.api.nvim_buf_set_extmark(where.buf, namespace, old_first - 1, 0, {
      end_row = old_first - 1 + old_count,
      hl_group = 'DglsOld',
      hl_eol = true,
      priority = 200, -- above the syntax's
      strict = false, -- the last line has no next one
    })
  end
  -- Of a hunk without old lines, `old_first` is the line above it.
  local row = old_first - 1 + math.max(old_count - 1, 0)
  below[row] = below[row] or {}
  for index = 0, new_count - 1 do
    table.insert(below[row], marked(new[new_first + index], old_count == new_count and old[old_first + index] or nil))
  end
end

---@param hunks integer[][]
---@return dgls.Chunk[]
local function bar_text(preview, hunks)
  local gone, come = 0, 0
  for _, hunk in ipairs(hunks) do
    gone, come = gone + hunk[2], come + hunk[4]
  end
  local candidate = preview.candidates[preview.index]
  local chunks = { { (' dgls %d/%d  -%d +%d  '):format(preview.index, #preview.candidates, gone, come), 'DglsBar' } }
  local keys = { { 'a', 'accept' }, { 'd', 'discard' }, { 'r', 'again' } }
  if #preview.candidates > 1 then
    keys[#keys + 1] = { 'n', 'next' }
  end
  for _, key in ipairs(keys) do
    vim.list_extend(chunks, { { key[1], 'DglsKey' }, { ' ' .. key[2] .. '  ', 'DglsBar' } })
  end
  if candidate.warning ~= '' then
    chunks[#chunks + 1] = { candidate.warning, 'WarningMsg' }
  end
  return chunks
end

--- Has the person stayed where the rewrite was asked for? If not, no key of theirs may be taken for an answer.
local function waits(where)
  return vim.api.nvim_get_current_win() == where.win
    and vim.fn.mode() == 'n'
    and vim.deep_equal(vim.api.nvim_win_get_cursor(where.win), where.cursor)
end

---@param preview dgls.Preview
local function map_keys(preview, buf)
  local function map(keys, call)
    for _, key in ipairs(keys) do
      vim.keymap.set('n', key, call, { buffer = buf, nowait = true })
    end
  end
  map({ 'a', '<CR>' }, M.accept)
  map({ 'd', 'q', '<Esc>' }, M.discard)
  map({ 'r' }, M.again)
  map({ 'n' }, M.next)
  for _, key in ipairs({ '<C-e>', '<C-y>', '<C-d>', '<C-u>' }) do
    map({ key }, function()
      vim.api.nvim_win_call(preview.where.win, function()
        vim.cmd.normal({ vim.keycode(key), bang = true })
      end)
    end)
  end
end

---@param preview dgls.Preview
---@param chunks dgls.Chunk[]
local function show_bar(preview, chunks)
  local win = preview.where.win
  if not (preview.bar and vim.api.nvim_win_is_valid(preview.bar)) then
    local buf = vim.api.nvim_create_buf(false, true)
    vim.bo[buf].bufhidden = 'wipe'
    preview.bar = vim.api.nvim_open_win(buf, waits(preview.where), {
      relative = 'win',
      win = win,
      anchor = 'SW',
      row = vim.api.nvim_win_get_height(win),
      col = 0,
      width = vim.api.nvim_win_get_width(win),
      height = 1,
      style = 'minimal',
      border = 'none',
      zindex = 60,
    })
    vim.wo[preview.bar].winhighlight = 'Normal:DglsBar,NormalFloat:DglsBar'
    map_keys(preview, buf)
    vim.api.nvim_create_autocmd('WinClosed', { pattern = tostring(preview.bar), once = true, callback = M.discard })
    if vim.api.nvim_get_current_win() ~= preview.bar then
      vim.notify('dgls: a rewrite waits for :Dgls accept, discard or again')
    end
  end
  local buf = vim.api.nvim_win_get_buf(preview.bar)
  vim.api.nvim_buf_clear_namespace(buf, namespace, 0, -1)
  vim.api.nvim_buf_set_extmark(buf, namespace, 0, 0, { virt_text = chunks, virt_text_pos = 'overlay' })
end

local function draw()
  local preview = assert(open)
  local where = preview.where
  vim.api.nvim_buf_clear_namespace(where.buf, namespace, 0, -1)
  local edits = edits_of(preview.candidates[preview.index])
  local old, new = before_and_after(where.buf, edits, where.encoding)
  local text = { table.concat(old, '\n') .. '\n', table.concat(new, '\n') .. '\n' }
  local hunks = vim.text.diff(text[1], text[2], { result_type = 'indices', linematch = true }) --[[@as integer[][] ]]
  local below = {} ---@type table<integer, dgls.Chunk[][]>
  for _, hunk in ipairs(hunks) do
    draw_hunk(where, old, new, hunk, below)
  end
  for row, lines in pairs(below) do
    vim.api.nvim_buf_set_extmark(where.buf, namespace, math.max(row, 0), 0, {
      virt_lines = filled(where, lines),
      virt_lines_above = row < 0,
      virt_lines_overflow = 'scroll',
    })
  end
  show_bar(preview, bar_text(preview, hunks))
end

--- Close a preview whose text or window is no longer what it was opened for.
---@param preview dgls.Preview
local function watch(preview)
  vim.api.nvim_buf_attach(preview.where.buf, false, {
    on_lines = function()
      if open ~= preview then
        return true
      end
      vim.schedule(M.discard)
      return true
    end,
    on_detach = function()
      vim.schedule(M.discard)
    end,
  })
  vim.api.nvim_create_autocmd('WinClosed', {
    pattern = tostring(preview.where.win),
    once = true,
    callback = function()
      if open == preview then
        vim.schedule(M.discard)
      end
    end,
  })
end

--- Show candidates, after those that are shown already if they are of the same rewrite.
---@param where dgls.Where
---@param candidates table[]
---@param again fun() asks for another candidate, which is then added
function M.add(where, candidates, again)
  if #candidates == 0 or not vim.api.nvim_win_is_valid(where.win) then
    return -- the server said why
  end
  local tick = vim.api.nvim_buf_get_changedtick(where.buf)
  if not (open and open.where.buf == where.buf and open.tick == tick) then
    M.discard()
    open = { where = where, candidates = {}, index = 0, again = again, tick = tick }
    watch(open)
  end
  open.again = again
  for _, candidate in ipairs(candidates) do
    local same = vim.iter(ipairs(open.candidates)):find(function(_, other)
      return vim.deep_equal(edits_of(other), edits_of(candidate))
    end)
    if same then
      open.index = same
      vim.notify('dgls: the same again')
    else
      table.insert(open.candidates, candidate)
      open.index = #open.candidates
    end
  end
  draw()
end

---@return boolean whether there was one
local function close()
  local preview = open
  open = nil
  if not preview then
    return false
  end
  if vim.api.nvim_buf_is_valid(preview.where.buf) then
    vim.api.nvim_buf_clear_namespace(preview.where.buf, namespace, 0, -1)
  end
  if preview.bar and vim.api.nvim_win_is_valid(preview.bar) then
    local focused = vim.api.nvim_get_current_win() == preview.bar
    vim.api.nvim_win_close(preview.bar, true)
    if focused and vim.api.nvim_win_is_valid(preview.where.win) then
      vim.api.nvim_set_current_win(preview.where.win)
    end
  end
  return true
end

--- Make the change of the candidate that is shown, in one step for undo.
---@return boolean
function M.accept()
  local preview = open
  if not close() or not preview then
    return false
  end
  vim.lsp.util.apply_text_edits(
    edits_of(preview.candidates[preview.index]),
    preview.where.buf,
    preview.where.encoding
  )
  return true
end

---@return boolean
function M.discard()
  return close()
end

--- Ask for another candidate.
---@return boolean
function M.again()
  if open then
    open.again()
  end
  return open ~= nil
end

--- Show the next of the candidates that there are.
function M.next()
  if open then
    open.index = open.index % #open.candidates + 1
    draw()
  end
end

return M
