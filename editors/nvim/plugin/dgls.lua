-- Defines `:Dgls` and the colours, and turns on ghost text in buffers with the server. Starts no server and maps no
-- key: see `:help dgls`.

if vim.g.loaded_dgls then
  return
end
vim.g.loaded_dgls = true

if vim.fn.has('nvim-0.12') == 0 then
  local version = vim.fn.matchstr(vim.fn.execute('version'), [[NVIM v\zs[0-9.]*]])
  local message = 'dgls needs Neovim 0.12, the first with inline completions; this is ' .. version .. '.'
  vim.api.nvim_echo({ { message, 'WarningMsg' } }, true, {})
  return
end

require('dgls.colours').define()

local group = vim.api.nvim_create_augroup('dgls', {})
vim.api.nvim_create_autocmd('ColorScheme', {
  group = group,
  callback = function()
    require('dgls.colours').define()
  end,
})

vim.api.nvim_create_autocmd('LspAttach', {
  group = group,
  callback = function(event)
    local client = vim.lsp.get_client_by_id(event.data.client_id)
    if client and client.name == 'dgls' then
      vim.lsp.inline_completion.enable(true, { bufnr = event.buf })
      require('dgls.next_edit').follow(event.buf)
    end
  end,
})

vim.api.nvim_create_user_command('Dgls', function(call)
  require('dgls.command').run(call)
end, {
  nargs = '+',
  range = true,
  complete = function(...)
    return require('dgls.command').complete(...)
  end,
  desc = 'Rewrite, fill and refine code; show the status of dgls',
})
