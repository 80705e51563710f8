--- `:Dgls`: its subcommands and their completion.

local server = require('dgls.server')

local M = {}

local function log()
  vim.cmd.tabnew(vim.fn.fnameescape(vim.lsp.log.get_filename()))
  vim.cmd.normal({ 'G', bang = true })
  vim.fn.search('dgls', 'bcW')
end

--- Change a setting of the server, now and for servers that start later.
---@param section table what stands below `dgls`
local function set(section)
  local settings = { dgls = section }
  vim.lsp.config('dgls', { settings = settings })
  for _, client in ipairs(vim.lsp.get_clients({ name = 'dgls' })) do
    client.settings = vim.tbl_deep_extend('force', client.settings, settings)
    client:notify('workspace/didChangeConfiguration', { settings = client.settings })
  end
end

---@type uv.uv_timer_t? runs until a pause of some minutes is over
local timer

--- Turn suggestions on or off everywhere. This uses the server's setting, so that the server can unload its model.
---@param enabled boolean
local function suggest(enabled)
  if timer then
    timer:stop()
    timer:close()
    timer = nil
  end
  set({ inlineCompletion = { enabled = enabled } })
end

--- Without minutes, a second call resumes.
---@param given string the minutes; empty for none
local function pause(_, given)
  local minutes = tonumber(given)
  if given ~= '' and not (minutes and minutes > 0 and minutes <= 1440) then
    vim.notify('dgls: pause takes minutes, 1440 at most; not ' .. given, vim.log.levels.ERROR)
    return
  end
  local settings = vim.lsp.config.dgls.settings
  local paused = vim.tbl_get(settings or {}, 'dgls', 'inlineCompletion', 'enabled') == false
  suggest(paused and not minutes)
  if minutes then
    timer = assert(vim.uv.new_timer())
    timer:start(
      math.floor(minutes * 60000),
      0,
      vim.schedule_wrap(function()
        suggest(true)
        vim.notify('dgls: suggests again')
      end)
    )
    vim.notify(('dgls: paused until %s; :Dgls pause resumes'):format(os.date('%H:%M', os.time() + minutes * 60)))
  else
    vim.notify(paused and 'dgls: suggests again' or 'dgls: paused; :Dgls pause again resumes')
  end
end

--- Answer the preview; `discard` also cancels a running request.
---@param what 'accept'|'discard'|'again'
local function answer(what)
  local cancelled = what == 'discard' and require('dgls.action').cancel(vim.api.nvim_get_current_buf())
  if not require('dgls.preview')[what]() and not cancelled then
    vim.notify('dgls: there is nothing to ' .. (what == 'again' and 'ask again' or what), vim.log.levels.WARN)
  end
end

---@param client vim.lsp.Client?
---@return string[]
local function strength_names(client)
  return vim.tbl_map(function(each)
    return each.name
  end, server.strengths(client))
end

---@param call table
---@param name string the strength; empty for the usual one
local function refine(call, name)
  local client = server.needed(vim.api.nvim_get_current_buf())
  if not client then
    return
  end
  name = name ~= '' and name or 'more'
  for _, each in ipairs(server.strengths(client)) do
    if each.name == name then
      require('dgls.action').rewrite(call.line1, call.line2, { strength = each.strength })
      return
    end
  end
  local names = table.concat(strength_names(client), ', ')
  vim.notify(('dgls: refine takes one of %s; not %s'):format(names, name), vim.log.levels.ERROR)
end

---@class dgls.Subcommand
---@field run fun(call: table, rest: string)
---@field arguments (fun(): string[])?

---@type table<string, dgls.Subcommand>
local subcommands = {
  rewrite = {
    run = function(call, rest)
      require('dgls.action').rewrite(call.line1, call.line2, { instruction = rest ~= '' and rest or nil })
    end,
  },
  refine = {
    arguments = function()
      return strength_names(server.of(vim.api.nvim_get_current_buf()))
    end,
    run = refine,
  },
  fill = {
    arguments = function()
      return { 'all' }
    end,
    run = function(_, rest)
      require('dgls.action').fill(rest == 'all')
    end,
  },
  next = {
    arguments = function()
      return { 'dismiss', 'list' }
    end,
    run = function(_, rest)
      if rest == 'list' then
        require('dgls.next_edit').list()
      elseif rest ~= 'dismiss' then
        require('dgls.next_edit').next()
      elseif not require('dgls.next_edit').dismiss() then
        vim.notify('dgls: there is no next edit to dismiss', vim.log.levels.WARN)
      end
    end,
  },
  pause = {
    arguments = function()
      return { '5', '15', '60' }
    end,
    run = pause,
  },
  model = {
    arguments = function()
      return require('dgls.model').names()
    end,
    run = function(_, rest)
      require('dgls.model').choose(rest, function(name)
        set({ model = name })
      end)
    end,
  },
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
  local arguments = (subcommands[name] or {}).arguments
  local among = not name and names or arguments and arguments() or {}
  return vim.tbl_filter(function(word)
    return vim.startswith(word, lead)
  end, among)
end

return M
