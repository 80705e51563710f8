--- Sends rewrites, refinements and fills to the server. A rewrite returns candidates for a preview; a fill is applied.

local server = require('dgls.server')

local M = {}

local CANCELLED = -32800

---@type table<integer, { client: vim.lsp.Client, id: integer }> by buffer
local running = {}

---@param client vim.lsp.Client
---@param buf integer
---@param command string
---@param fields table the command's parameters, except the document
---@param done fun(result: table)
local function execute(client, buf, command, fields, done)
  local argument = vim.tbl_extend('error', fields, {
    uri = vim.uri_from_bufnr(buf),
    version = vim.lsp.util.buf_versions[buf],
  })
  local params = { command = command, arguments = { argument } }
  local sent, id = client:request('workspace/executeCommand', params, function(err, result, ctx)
    if running[buf] and running[buf].id == ctx.request_id then
      running[buf] = nil
    end
    if err and err.code ~= CANCELLED then
      vim.notify('dgls: ' .. err.message, vim.log.levels.ERROR)
    elseif result then
      done(result)
    end
  end, buf)
  if sent and id then
    running[buf] = { client = client, id = id }
  end
end

--- The lines of a command's range as an LSP range; the exact selection, if the range is that of the last selection.
---@param buf integer
---@param first integer
---@param last integer
---@param encoding string
---@return lsp.Range
local function range_of(buf, first, last, encoding)
  local left, right = 0, vim.v.maxcol
  local from, to = vim.api.nvim_buf_get_mark(buf, '<'), vim.api.nvim_buf_get_mark(buf, '>')
  if vim.fn.visualmode() == 'v' and from[1] == first and to[1] == last then
    left, right = from[2], to[2]
    local ending = vim.api.nvim_buf_get_lines(buf, last - 1, last, true)[1]
    if vim.o.selection ~= 'exclusive' and right < #ending then
      right = right + 1 + vim.str_utf_end(ending, right + 1)
    end
  end
  local function position(row, col)
    local line = vim.api.nvim_buf_get_lines(buf, row - 1, row, true)[1]
    return { line = row - 1, character = vim.str_utfindex(line, encoding, math.min(col, #line), false) }
  end
  return { start = position(first, left), ['end'] = position(last, right) }
end

--- Rewrite lines, or the selection in them, and preview the candidates.
---@param first integer
---@param last integer
---@param how { instruction: string?, strength: number? }
function M.rewrite(first, last, how)
  local buf, win = vim.api.nvim_get_current_buf(), vim.api.nvim_get_current_win()
  local client = server.needed(buf)
  if not client then
    return
  end
  local preview = require('dgls.preview')
  preview.discard()
  local fields = vim.tbl_extend('error', how, {
    range = range_of(buf, first, last, client.offset_encoding),
    preview = true,
  })
  local tick, seed, cancelled = vim.api.nvim_buf_get_changedtick(buf), 0, false
  ---@type dgls.Rewrite
  local rewrite = {
    buf = buf,
    win = win,
    cursor = vim.api.nvim_win_get_cursor(win),
    encoding = client.offset_encoding,
  }
  local function ask()
    execute(client, buf, 'dgls.rewrite', vim.tbl_extend('force', fields, { seed = seed }), function(result)
      local stale = not vim.api.nvim_buf_is_valid(buf) or vim.api.nvim_buf_get_changedtick(buf) ~= tick
      if not cancelled and not stale then
        preview.add(rewrite, result.candidates)
      end
    end)
  end
  function rewrite.again()
    seed = seed + 1
    ask()
  end
  function rewrite.cancel()
    cancelled = true
    M.cancel(buf)
  end
  ask()
end

--- Fill the stub at the cursor, or all stubs of the file.
---@param all boolean
function M.fill(all)
  local buf = vim.api.nvim_get_current_buf()
  local client = server.needed(buf)
  if client then
    local position = vim.lsp.util.make_position_params(0, client.offset_encoding).position
    execute(client, buf, 'dgls.fill', { position = position, all = all }, function() end)
  end
end

--- Cancel the request that runs in a buffer.
---@param buf integer
---@return boolean whether one ran
function M.cancel(buf)
  local request = running[buf]
  running[buf] = nil
  return request ~= nil and request.client:cancel_request(request.id)
end

return M
