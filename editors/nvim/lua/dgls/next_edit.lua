--- Next edits: asks the server once an edit has settled, shows at most one proposal, and jumps to it, applies it or
--- dismisses it. Any other change of its buffer drops the proposal. The server chooses the places.

local overlay = require('dgls.overlay')
local server = require('dgls.server')

local M = {}

local SETTLED_MS = 400

local namespace = vim.api.nvim_create_namespace('dgls.next_edit')
local group = vim.api.nvim_create_augroup('dgls.next_edit', {})

---@class dgls.NextEdit
---@field client vim.lsp.Client
---@field buf integer the buffer that it changes
---@field from integer the buffer that it was asked in
---@field edit table the server's proposal (docs/protocol.md)

local shown ---@type dgls.NextEdit?
local asking ---@type { client: vim.lsp.Client, id: integer }?
---@type { buf: integer, row: integer, tick: integer, timer: uv.uv_timer_t }? a change that has not settled
local unsettled
local applied ---@type integer? changedtick after an applied proposal

---@param buf integer
local function tick_of(buf)
  return vim.api.nvim_buf_get_changedtick(buf)
end

local function settle()
  if unsettled then
    unsettled.timer:stop()
    unsettled.timer:close()
    unsettled = nil
  end
end

--- Remove the proposal, and cancel the request for one.
local function drop()
  settle()
  if asking then
    asking.client:cancel_request(asking.id)
    asking = nil
  end
  if shown then
    shown = nil
    for _, buf in ipairs(vim.api.nvim_list_bufs()) do
      vim.api.nvim_buf_clear_namespace(buf, namespace, 0, -1)
    end
  end
end

---@param proposal dgls.NextEdit
---@return integer[] top, left, bottom, right: rows and bytes, from 0
local function place_of(proposal)
  return { vim.range.lsp(proposal.buf, proposal.edit.range, proposal.client.offset_encoding):to_extmark() }
end

--- The proposal, if it still applies.
---@return dgls.NextEdit?
local function current()
  if shown and vim.lsp.util.buf_versions[shown.buf] ~= shown.edit.version then
    drop()
  end
  return shown
end

---@param proposal dgls.NextEdit
---@param row integer
local function hint(proposal, row)
  local buf, line = vim.api.nvim_get_current_buf(), proposal.edit.range.start.line + 1
  local here = buf == proposal.buf
  if here and line >= vim.fn.line('w0') and line <= vim.fn.line('w$') then
    return
  end
  local name = here and '' or vim.fn.fnamemodify(vim.api.nvim_buf_get_name(proposal.buf), ':.') .. ', '
  vim.api.nvim_buf_set_extmark(buf, namespace, row, 0, {
    virt_text = { { '  next edit: ' .. name .. 'line ' .. line, 'DglsHint' } },
    virt_text_pos = 'eol',
  })
end

local function paint()
  local proposal = current()
  if not proposal then
    return
  end
  local top, left, bottom, right = unpack(place_of(proposal))
  for _, buf in ipairs({ proposal.buf, proposal.from }) do
    vim.api.nvim_buf_clear_namespace(buf, namespace, 0, -1)
  end
  vim.api.nvim_buf_set_extmark(proposal.buf, namespace, top, left, {
    end_row = bottom,
    end_col = right,
    hl_group = 'DglsNextOld',
    priority = 200, -- above syntax highlighting
  })
  if proposal.edit.newText ~= '' then
    local gap = (top == bottom and left == right) and '' or ' '
    local lines = overlay.lines({ { gap, 'Normal' }, { proposal.edit.newText, 'DglsNextNew' } })
    overlay.insert(proposal.buf, namespace, bottom, right, lines, 'replace') -- else it is struck through, too
  end
  hint(proposal, vim.api.nvim_win_get_cursor(0)[1] - 1)
end

---@param client vim.lsp.Client
---@param buf integer
---@param invoked boolean the user asked: say why there is none
local function params_of(client, buf, invoked)
  return {
    textDocument = { uri = vim.uri_from_bufnr(buf), version = vim.lsp.util.buf_versions[buf] },
    position = vim.lsp.util.make_position_params(0, client.offset_encoding).position,
    invoked = invoked,
  }
end

---@param client vim.lsp.Client
---@param buf integer
---@param invoked boolean
local function ask(client, buf, invoked)
  drop()
  local params = params_of(client, buf, invoked)
  local sent, id = client:request('dgls/nextEdit', params, function(err, result, ctx)
    if not asking or asking.id ~= ctx.request_id then
      return
    end
    asking = nil
    if result and result.edit ~= vim.NIL and result.edit then
      shown = { client = client, buf = vim.uri_to_bufnr(result.edit.uri), from = buf, edit = result.edit }
      paint()
    elseif invoked then
      vim.notify('dgls has no next edit: ' .. (err and err.message or result.reason))
    end
  end, buf)
  asking = sent and id and { client = client, id = id } or nil
end

--- Whether the setting wants proposals that nobody asked for.
---@param client vim.lsp.Client
local function wanted(client)
  local settings = client.settings.dgls or {}
  local suggests = vim.tbl_get(settings, 'inlineCompletion', 'enabled') ~= false
  return settings.nextEdit == true and suggests and (vim.g.dgls or {}).next_edit ~= false
end

local function settled()
  local buf = unsettled and unsettled.buf
  settle()
  local client = buf and buf == vim.api.nvim_get_current_buf() and server.of(buf)
  local undo = vim.fn.undotree()
  if client and undo.seq_cur >= undo.seq_last then -- nothing is proposed after an undo
    ask(client, buf, false)
  end
end

---@param buf integer
local function changed(buf)
  if tick_of(buf) == applied then
    return
  end
  drop()
  local client = server.of(buf)
  if not client or not wanted(client) then
    return
  end
  local timer = assert(vim.uv.new_timer())
  unsettled = { buf = buf, row = vim.api.nvim_win_get_cursor(0)[1], tick = tick_of(buf), timer = timer }
  timer:start(SETTLED_MS, 0, vim.schedule_wrap(function()
    if unsettled and unsettled.timer == timer then
      settled()
    end
  end))
end

---@param buf integer
local function moved(buf)
  local elsewhere = unsettled and unsettled.buf == buf and unsettled.row ~= vim.api.nvim_win_get_cursor(0)[1]
  if elsewhere and unsettled.tick == tick_of(buf) then -- else the change is announced next
    settled()
  end
  paint()
end

--- Follow the edits of a buffer.
---@param buf integer
function M.follow(buf)
  vim.api.nvim_clear_autocmds({ group = group, buffer = buf })
  local function on(events, run)
    vim.api.nvim_create_autocmd(events, {
      group = group,
      buffer = buf,
      callback = function()
        run(buf)
      end,
    })
  end
  on({ 'TextChanged', 'TextChangedI', 'TextChangedP' }, changed)
  on({ 'CursorMoved', 'CursorMovedI' }, moved)
  on('BufEnter', function()
    if shown and buf ~= shown.buf then
      drop()
    end
  end)
end

---@param proposal dgls.NextEdit
local function apply(proposal)
  local edit = { range = proposal.edit.range, newText = proposal.edit.newText }
  drop()
  vim.go.undolevels = vim.go.undolevels -- starts a new undo step
  vim.lsp.util.apply_text_edits({ edit }, proposal.buf, proposal.client.offset_encoding)
  applied = tick_of(proposal.buf)
  proposal.client:notify('dgls/nextEditAnswered', { id = proposal.edit.id, accepted = true })
  ask(proposal.client, proposal.buf, false)
end

local function go_on()
  local proposal = current()
  if not proposal then
    return
  end
  local row = vim.api.nvim_win_get_cursor(0)[1] - 1
  local top, _, bottom = unpack(place_of(proposal))
  if vim.api.nvim_get_current_buf() == proposal.buf and top <= row and row <= bottom then
    apply(proposal)
  else
    local location = { uri = proposal.edit.uri, range = proposal.edit.range }
    vim.lsp.util.show_document(location, proposal.client.offset_encoding, { focus = true })
  end
end

--- Jump to the proposal that is shown, or apply it if the cursor is in its line.
---@return boolean whether one is shown
function M.accept()
  local there = current() ~= nil
  if there then
    vim.schedule(go_on) -- a mapping with <expr> must not change text
  end
  return there
end

--- As `M.accept`; without a proposal ask for one, and say why there is none.
function M.next()
  local buf = vim.api.nvim_get_current_buf()
  local client = not M.accept() and server.needed(buf)
  if client then
    ask(client, buf, true)
  end
end

--- Put all places that the last edit concerns into the quickfix list, with the text that stands there and the new one.
function M.list()
  local buf = vim.api.nvim_get_current_buf()
  local client = server.needed(buf)
  if not client then
    return
  end
  client:request('dgls/nextEditPlaces', params_of(client, buf, true), function(err, result)
    local items = vim.lsp.util.locations_to_items(result and result.places or {}, client.offset_encoding)
    if #items == 0 then
      vim.notify('dgls: ' .. (err and err.message or 'the last edit concerns no other place'))
      return
    end
    for _, item in ipairs(items) do
      item.text = ('%s  → %s'):format(vim.trim(item.text), vim.trim(item.user_data.newText))
    end
    vim.fn.setqflist({}, ' ', { title = 'dgls: places that the last edit concerns', items = items })
    vim.cmd('botright copen')
  end, buf)
end

--- The server does not propose this place again for this edit.
---@return boolean whether one was shown
function M.dismiss()
  local proposal = current()
  if proposal then
    proposal.client:notify('dgls/nextEditAnswered', { id = proposal.edit.id, accepted = false })
    vim.schedule(drop) -- as above
  end
  return proposal ~= nil
end

--- Remove the proposal of a server that has ended.
---@param client_id integer
function M.forget(client_id)
  if shown and shown.client.id == client_id then
    drop()
  end
end

return M
