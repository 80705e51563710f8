--- `:checkhealth dgls`: what works here, and how to fix what does not.

local M = {}

local health = vim.health

local DOCTOR_MS = 60000

local function check_neovim()
  local version = tostring(vim.version())
  if vim.fn.has('nvim-0.12') == 0 then
    health.error('Neovim ' .. version .. ' has no inline completions', 'Install Neovim 0.12 or later.')
    return false
  end
  health.ok('Neovim ' .. version)
  return true
end

local function check_command()
  local config = vim.lsp.config.dgls
  local cmd = config and config.cmd
  if type(cmd) ~= 'table' then
    health.info('`cmd` is a function, so the server can not be checked.')
    return
  end
  local path = vim.fn.exepath(cmd[1])
  if path == '' then
    health.error(('`%s` is not executable'):format(cmd[1]), {
      'Run `make setup` in the checkout of dgls, or put `dgls` on PATH.',
      "Or name it: vim.lsp.config('dgls', { cmd = { '/path/to/dgls', 'serve' } })",
    })
    return
  end
  local doctor = {}
  for _, word in ipairs(cmd) do
    doctor[#doctor + 1] = word == 'serve' and 'doctor' or word
    if word == 'serve' then
      break
    end
  end
  if doctor[#doctor] ~= 'doctor' then
    health.ok(('`%s` is executable'):format(path))
    return
  end
  local result = vim.system(doctor, { text = true, timeout = DOCTOR_MS, env = config.cmd_env }):wait()
  local report = vim.trim((result.stdout or '') .. (result.stderr or ''))
  if result.code == 0 then
    health.ok(('`%s` says:\n%s'):format(table.concat(doctor, ' '), report))
  else
    health.error(('`%s` fails (exit code %d):\n%s'):format(table.concat(doctor, ' '), result.code, report))
  end
end

local function check_enabled()
  if vim.lsp.is_enabled('dgls') then
    health.ok('Enabled for ' .. table.concat(vim.lsp.config.dgls.filetypes or { 'all file types' }, ', '))
  else
    health.warn('Not enabled', "Add vim.lsp.enable('dgls') to your init.lua.")
  end
end

local function check_clients()
  local clients = vim.lsp.get_clients({ name = 'dgls' })
  if #clients == 0 then
    health.info('No server is running: open a file of one of these types.')
  end
  for _, client in ipairs(clients) do
    local buffers = vim.tbl_keys(client.attached_buffers)
    local status = require('dgls.status').of(client.id)
    local line = ('Server %d: %d buffers, positions in %s'):format(client.id, #buffers, client.offset_encoding)
    if not status then
      health.info(line .. ', starting')
    elseif status.state == 'failed' then
      health.error(line .. ', has no model: ' .. status.message)
    else
      local device = status.device or 'no device yet'
      if (status.health or '') ~= '' then
        health.warn(('%s, %s on %s, which is %s'):format(line, status.model, device, status.health))
      else
        health.ok(('%s, %s on %s, %s'):format(line, status.model, device, status.state))
      end
    end
    for _, buf in ipairs(buffers) do
      if not vim.lsp.inline_completion.is_enabled({ bufnr = buf }) then
        health.warn(('Buffer %d shows no ghost text'):format(buf), 'vim.lsp.inline_completion.enable(true)')
      end
    end
  end
end

local function check_mapping()
  local mapped = vim.iter(vim.api.nvim_get_keymap('i')):find(function(map)
    return map.lhs == '<Tab>'
  end)
  if not mapped or (mapped.desc or ''):find('vim.snippet.jump') then
    health.info('<Tab> is not mapped in Insert mode; :help dgls-mappings has a mapping that accepts.')
  end
end

function M.check()
  health.start('dgls')
  if not check_neovim() then
    return
  end
  check_command()
  check_enabled()
  check_clients()
  check_mapping()
end

return M
