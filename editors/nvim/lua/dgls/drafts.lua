--- `dgls/draft`: shows the model's current draft in place while an action runs, coloured by certainty.

local colours = require('dgls.colours')
local overlay = require('dgls.overlay')

local M = {}

local namespace = vim.api.nvim_create_namespace('dgls.drafts')

---@class dgls.Painted
---@field client_id integer
---@field buf integer
---@field candidate integer
---@field holes table<string, { place: table, lines: dgls.Chunk[][] }> by their position

local painted = {} ---@type table<string, dgls.Painted> by request

local function wipe(request)
  local draft = painted[request]
  painted[request] = nil
  if draft and vim.api.nvim_buf_is_valid(draft.buf) then
    vim.api.nvim_buf_clear_namespace(draft.buf, namespace, 0, -1)
  end
end

---@param certainty number 0 to 1
local function group_of(certainty)
  return 'DglsDraft' .. math.min(colours.levels, 1 + math.floor(certainty * colours.levels))
end

local function chunks_of(hole)
  local chunks = {}
  for _, token in ipairs(hole.tokens) do
    chunks[#chunks + 1] = { token.text, group_of(token.certainty) }
  end
  return chunks
end

local function draw(work)
  vim.api.nvim_buf_clear_namespace(work.buf, namespace, 0, -1)
  for _, hole in pairs(work.holes) do
    local place = hole.place
    local rest = vim.api.nvim_buf_get_lines(work.buf, place.bottom, place.bottom + 1, true)[1]:sub(place.right + 1)
    if place.top == place.bottom and place.left == place.right and not rest:find('%S') then
      overlay.insert(work.buf, namespace, place.top, place.left, hole.lines)
    else
      overlay.replace(work.buf, namespace, place, hole.lines, 'DglsReplaced')
    end
  end
end

---@param client_id integer
---@param draft table the notification's parameters (docs/protocol.md)
function M.paint(client_id, draft)
  local buf = vim.uri_to_bufnr(draft.uri)
  local client = vim.lsp.get_client_by_id(client_id)
  if draft.done or not client or vim.lsp.util.buf_versions[buf] ~= draft.version then
    return wipe(draft.request)
  end
  local work = painted[draft.request]
  if not work or work.candidate ~= draft.candidate then
    work = { client_id = client_id, buf = buf, candidate = draft.candidate, holes = {} }
    painted[draft.request] = work
  end
  for _, hole in ipairs(draft.holes) do
    local top, left, bottom, right = vim.range.lsp(buf, hole.range, client.offset_encoding):to_extmark()
    work.holes[top .. ':' .. left] = {
      place = { top = top, left = left, bottom = bottom, right = right },
      lines = overlay.lines(chunks_of(hole)),
    }
  end
  draw(work)
end

--- Remove the drafts of a server that has ended.
---@param client_id integer
function M.forget(client_id)
  for request, work in pairs(painted) do
    if work.client_id == client_id then
      wipe(request)
    end
  end
end

return M
