--- The models on this machine (`dgls/models`), to choose one from.

local server = require('dgls.server')

local M = {}

--- How long completing a name waits for the server.
local PATIENCE_MS = 1000

---@class dgls.Model
---@field name string
---@field parameters number
---@field bytes number
---@field licence string
---@field stepMs number? how long a denoising step took on this machine
---@field problem string why it cannot be used, else empty

---@param model dgls.Model
---@return string
local function described(model)
  local facts = {}
  if model.parameters > 0 then
    facts[#facts + 1] = ('%.0f M parameters'):format(model.parameters / 1e6)
  end
  if model.bytes > 0 then
    local unit = model.bytes >= 1e9 and { 1e9, '%.1f GB' } or { 1e6, '%.0f MB' }
    facts[#facts + 1] = unit[2]:format(model.bytes / unit[1])
  end
  if model.licence ~= '' then
    facts[#facts + 1] = model.licence
  end
  if type(model.stepMs) == 'number' then -- else vim.NIL
    facts[#facts + 1] = ('%.0f ms a step here'):format(model.stepMs)
  end
  if model.problem ~= '' then
    facts[#facts + 1] = model.problem
  end
  return ('%s (%s)'):format(model.name, table.concat(facts, ', '))
end

--- `auto`, and the names of the models on this machine.
---@return string[]
function M.names()
  local client = server.of(vim.api.nvim_get_current_buf())
  local answer = client and client:request_sync('dgls/models', {}, PATIENCE_MS)
  local models = vim.tbl_get(answer or {}, 'result', 'models') or {}
  local names = vim.tbl_map(function(model)
    return model.name
  end, models)
  return { 'auto', unpack(names) }
end

--- Call `take` with the name, or with the one that the user picks from a list.
---@param name string empty to pick
---@param take fun(name: string)
function M.choose(name, take)
  if name ~= '' then
    take(name)
    return
  end
  local client = server.needed(vim.api.nvim_get_current_buf())
  if not client then
    return
  end
  client:request('dgls/models', {}, function(problem, here)
    if problem then
      vim.notify('dgls: ' .. problem.message, vim.log.levels.ERROR)
      return
    end
    local prompt = ('dgls: the model (now %s)'):format(here.chosen)
    vim.ui.select(here.models, { prompt = prompt, format_item = described }, function(model)
      if model then
        take(model.name)
      end
    end)
  end)
end

return M
