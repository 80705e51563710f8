--- Shows the candidates of a rewrite as a diff in place. A bar at the bottom of the window takes the keys. The buffer
--- changes only when a candidate is accepted.

local diff = require('dgls.diff')

local M = {}

local namespace = vim.api.nvim_create_namespace('dgls.preview')

---@class dgls.Rewrite
---@field buf integer
---@field win integer
---@field cursor [integer, integer] at the time of the request
---@field encoding string
---@field again fun() requests another candidate, which is then added
---@field cancel fun() cancels a running request

---@class dgls.Preview
---@field rewrite dgls.Rewrite
---@field candidates table[] as the server returns them
---@field index integer
---@field bar integer? window

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
  return vim.tbl_map(function(edit) -- without annotations: a preview needs no further confirmation
    return { range = edit.range, newText = edit.newText }
  end, edits)
end

---@param preview dgls.Preview
---@param removed integer lines
---@param added integer lines
---@return dgls.Chunk[]
local function bar_text(preview, removed, added)
  local candidate = preview.candidates[preview.index]
  local counts = (' dgls %d/%d  -%d +%d  '):format(preview.index, #preview.candidates, removed, added)
  local chunks = { { counts, 'DglsBar' } }
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

--- Whether the user is still where they requested the rewrite. If not, the bar must not take their keys.
local function is_waiting(rewrite)
  return vim.api.nvim_get_current_win() == rewrite.win
    and vim.fn.mode() == 'n'
    and vim.deep_equal(vim.api.nvim_win_get_cursor(rewrite.win), rewrite.cursor)
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
      vim.api.nvim_win_call(preview.rewrite.win, function()
        vim.cmd.normal({ vim.keycode(key), bang = true })
      end)
    end)
  end
end

---@param preview dgls.Preview
---@param chunks dgls.Chunk[]
local function show_bar(preview, chunks)
  local win = preview.rewrite.win
  if not (preview.bar and vim.api.nvim_win_is_valid(preview.bar)) then
    local buf = vim.api.nvim_create_buf(false, true)
    vim.bo[buf].bufhidden = 'wipe'
    preview.bar = vim.api.nvim_open_win(buf, is_waiting(preview.rewrite), {
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
  vim.api.nvim_buf_set_extmark(buf, namespace, 0, 0, { virt_text = chunks, virt_text_pos = 'overlay', hl_mode = 'combine' })
end

local function draw()
  local preview = assert(open)
  local edits = edits_of(preview.candidates[preview.index])
  show_bar(preview, bar_text(preview, diff.paint(preview.rewrite.win, namespace, edits, preview.rewrite.encoding)))
end

--- Close the preview when its text changes or its window closes.
---@param preview dgls.Preview
local function watch(preview)
  vim.api.nvim_buf_attach(preview.rewrite.buf, false, {
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
    pattern = tostring(preview.rewrite.win),
    once = true,
    callback = function()
      if open == preview then
        vim.schedule(M.discard)
      end
    end,
  })
end

--- Show candidates. Candidates of the same rewrite are added to those shown.
---@param rewrite dgls.Rewrite
---@param candidates table[]
function M.add(rewrite, candidates)
  if #candidates == 0 then
    return -- the server showed why
  end
  if not vim.api.nvim_win_is_valid(rewrite.win) or vim.api.nvim_win_get_buf(rewrite.win) ~= rewrite.buf then
    vim.notify('dgls: the window of the rewrite shows something else now; ask again there', vim.log.levels.WARN)
    return
  end
  if not open or open.rewrite ~= rewrite then
    M.discard()
    open = { rewrite = rewrite, candidates = {}, index = 0 }
    watch(open)
  end
  for _, candidate in ipairs(candidates) do
    local same = vim.iter(ipairs(open.candidates)):find(function(_, other)
      return vim.deep_equal(edits_of(other), edits_of(candidate))
    end)
    if same then
      open.index = same
      vim.notify('dgls: the model wrote the same text again')
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
  preview.rewrite.cancel()
  if vim.api.nvim_buf_is_valid(preview.rewrite.buf) then
    vim.api.nvim_buf_clear_namespace(preview.rewrite.buf, namespace, 0, -1)
  end
  if preview.bar and vim.api.nvim_win_is_valid(preview.bar) then
    local focused = vim.api.nvim_get_current_win() == preview.bar
    vim.api.nvim_win_close(preview.bar, true)
    if focused and vim.api.nvim_win_is_valid(preview.rewrite.win) then
      vim.api.nvim_set_current_win(preview.rewrite.win)
    end
  end
  return true
end

--- Apply the candidate that is shown, as one undo step.
---@return boolean
function M.accept()
  local preview = open
  if not close() or not preview then
    return false
  end
  vim.lsp.util.apply_text_edits(
    edits_of(preview.candidates[preview.index]),
    preview.rewrite.buf,
    preview.rewrite.encoding
  )
  return true
end

---@return boolean
function M.discard()
  return close()
end

--- Request another candidate.
---@return boolean
function M.again()
  if open then
    open.rewrite.again()
  end
  return open ~= nil
end

--- Show the next candidate.
function M.next()
  if open then
    open.index = open.index % #open.candidates + 1
    draw()
  end
end

return M
