--- `:Dgls`: its subcommands and what completes after each.

local M = {}

local function log()
  vim.cmd.tabnew(vim.fn.fnameescape(vim.lsp.log.get_filename()))
  vim.cmd.normal({ 'G', bang = true })
  vim.fn.search('dgls', 'bcW')
end

--- Suggestions on or off everywhere, by the server's own setting, so that it knows that it may rest.
local function pause()
  local set = vim.lsp.config.dgls.settings
  local pausing = vim.tbl_get(set or {}, 'dgls', 'inlineCompletion', 'enabled') ~= false
  local settings = { dgls = { inlineCompletion = { enabled = not pausing } } }
  vim.lsp.config('dgls', { settings = settings }) -- for servers to come
  for _, client in ipairs(vim.lsp.get_clients({ name = 'dgls' })) do
    client.settings = vim.tbl_deep_extend('force', client.settings, settings)
    client:notify('workspace/didChangeConfiguration', { settings = client.settings })
  end
  vim.notify(pausing and 'dgls: paused; :Dgls pause again resumes' or 'dgls: suggests again')
end

--- For a preview, or what is under way.
---@param what 'accept'|'discard'|'again'
local function answer(what)
  local cancelled = what == 'discard' and require('dgls.action').cancel(vim.api.nvim_get_current_buf())
  if not require('dgls.preview')[what]() and not cancelled then
    vim.notify('dgls: there is nothing to ' .. (what == 'again' and 'ask again' or what), vim.log.levels.WARN)
  end
end

---@class dgls.Subcommand
---@field run fun(call: table, rest: string)
---@field arguments string[]?

---@type table<string, dgls.Subcommand>
local subcommands = {
  rewrite = {
    run = function(call, rest)
      require('dgls.action').rewrite(call.line1, call.line2, { instruction = rest ~= '' and rest or nil })
    end,
  },
  refine = {
    arguments = { 'lightly', 'more', 'heavily' },
    run = function(call, rest)
      local action = require('dgls.action')
      local strength = action.strengths[rest ~= '' and rest or 'more']
      if not strength then
        vim.notify('dgls: refine lightly, more or heavily; not ' .. rest, vim.log.levels.ERROR)
        return
      end
      action.rewrite(call.line1, call.line2, { strength = strength })
    end,
  },
  fill = {
    arguments = { 'all' },
    run = function(_, rest)
      require('dgls.action').fill(rest == 'all')
    end,
  },
  pause = { run = pause },
  status = {
    run = function()
      vim.api.nvim_echo({ { require('dgls.status').long(0) } }, false, {})
    end,
  },
  log = { run = log },
}
for _, what in ipairs({ 'accept', 'discard', 'again' }) do
  subcommands[what] = {
    run = function()
      answer(what)
    end,
  }
end

---@param call table as |nvim_create_user_command()| hands it over
function M.run(call)
  local name, rest = call.args:match('^(%S+)%s*(.-)%s*$')
  local subcommand = subcommands[name]
  if not subcommand then
    vim.notify('dgls: there is no :Dgls ' .. name .. '; see :help :Dgls', vim.log.levels.ERROR)
    return
  end
  subcommand.run(call, rest)
end

---@param lead string
---@param line string
---@return string[]
function M.complete(lead, line)
  local name = line:match('Dgls%s+(%S+)%s')
  local names = vim.tbl_keys(subcommands)
  table.sort(names)
  local among = not name and names or (subcommands[name] or {}).arguments or {}
  return vim.tbl_filter(function(word)
    return vim.startswith(word, lead)
  end, among)
end

return M
