-- How Neovim starts the server and handles its messages. `vim.lsp.config('dgls', { ... })` overrides any of it.

local options = vim.g.dgls or {}

return {
  cmd = require('dgls.server').command(),
  -- Settings for the user's own Python: the server would import a project's `enum.py` in place of Python's.
  cmd_env = { PYTHONPATH = '', PYTHONOPTIMIZE = '', PYTHONHOME = '', PYTHONSTARTUP = '', PYTHONINSPECT = '' },
  filetypes = {
    'bash', 'c', 'cpp', 'cs', 'css', 'go', 'html', 'java', 'javascript', 'javascriptreact', 'json', 'jsonc', 'lua',
    'php', 'python', 'ruby', 'rust', 'sh', 'toml', 'typescript', 'typescriptreact', 'yaml',
  },
  root_markers = { '.git' },
  get_language_id = function(_, filetype)
    return ({ cs = 'csharp', sh = 'shellscript' })[filetype] or filetype
  end,
  capabilities = {
    experimental = { dgls = { draft = options.drafts ~= false } },
    -- Neovim refuses edits of an older version, but does not declare that. It announces an annotated edit in two lines,
    -- which need Enter to be pressed. Clients without annotations get one line from the server instead.
    workspace = { workspaceEdit = { documentChanges = true, changeAnnotationSupport = vim.NIL } },
  },
  handlers = {
    ['dgls/status'] = function(_, status, ctx)
      require('dgls.status').set(ctx.client_id, status)
    end,
    ['dgls/draft'] = function(_, draft, ctx)
      require('dgls.drafts').paint(ctx.client_id, draft)
    end,
    ['window/showMessage'] = function(_, message)
      require('dgls.status').say(message)
    end,
  },
  on_exit = function(code, signal, client_id)
    require('dgls.server').ended(code, signal, client_id)
  end,
}
