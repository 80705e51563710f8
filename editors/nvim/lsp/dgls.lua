-- How Neovim starts and speaks to the server. `vim.lsp.config('dgls', { ... })` overrides any of it.

local options = vim.g.dgls or {}

return {
  cmd = require('dgls.server').command(),
  -- The user's settings for their own Python would reach the server: a project's `enum.py`, for one, in place of Python's.
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
    -- Neovim refuses edits of an older version, but doesn't say that it knows versions. It tells of an annotated edit in
    -- a message of two lines, after which Enter is to be pressed; to clients that show no annotations the server says
    -- what is to be said in one line.
    workspace = { workspaceEdit = { documentChanges = true, changeAnnotationSupport = vim.NIL } },
  },
  handlers = {
    ['dgls/status'] = function(_, status, ctx)
      require('dgls.status').set(ctx.client_id, status)
    end,
    ['dgls/draft'] = function(_, draft, ctx)
      require('dgls.drafts').paint(ctx.client_id, draft)
    end,
    ['window/showMessage'] = function(_, said)
      require('dgls.status').say(said)
    end,
  },
  on_exit = function(code, signal, client_id)
    require('dgls.server').ended(code, signal, client_id)
  end,
}
