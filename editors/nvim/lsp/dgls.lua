-- How Neovim starts the server and handles its messages. `vim.lsp.config('dgls', { ... })` overrides any of it.

local options = vim.g.dgls or {}

return {
  cmd = require('dgls.server').command(),
  -- Settings for the user's own Python: the server would import a project's `enum.py` in place of Python's.
  cmd_env = { PYTHONPATH = '', PYTHONOPTIMIZE = '', PYTHONHOME = '', PYTHONSTARTUP = '', PYTHONINSPECT = '' },
  filetypes = {
    'FortranFreeForm', 'ada', 'asm', 'aspnetcorerazor', 'astro', 'awk', 'bash', 'bat', 'bazel', 'bib', 'bibtex', 'bzl',
    'c', 'cabal', 'clojure', 'cmake', 'coffee', 'coffeescript', 'commonlisp', 'conf', 'cpp', 'crystal', 'cs', 'css',
    'csv', 'cuda', 'cuda-cpp', 'cython', 'd', 'dart', 'django-html', 'dockerfile', 'dosbatch', 'dosini', 'dotenv',
    'editorconfig', 'eelixir', 'elisp', 'elixir', 'elm', 'emacs-lisp', 'env', 'erb', 'erlang', 'eruby', 'fish',
    'fortran', 'fortran-modern', 'fsharp', 'gdscript', 'gitconfig', 'gitignore', 'glsl', 'go', 'graphql', 'groovy',
    'handlebars', 'haskell', 'hcl', 'hlsl', 'html', 'htmldjango', 'ignore', 'ini', 'jade', 'java', 'javascript',
    'javascriptreact', 'jinja', 'jinja-html', 'jproperties', 'json', 'json5', 'jsonc', 'jsonl', 'jsp', 'julia',
    'kotlin', 'less', 'lhaskell', 'lisp', 'lua', 'make', 'makefile', 'matlab', 'meson', 'mustache', 'mysql', 'nasm',
    'nim', 'nix', 'objc', 'objcpp', 'objective-c', 'objective-cpp', 'ocaml', 'ocaml.interface', 'octave', 'pascal',
    'perl', 'pgsql', 'php', 'plsql', 'powershell', 'prisma', 'prolog', 'properties', 'proto', 'proto3', 'protobuf',
    'ps1', 'pug', 'purescript', 'pyrex', 'python', 'r', 'racket', 'raku', 'razor', 'ruby', 'rust', 'sass', 'scala',
    'scheme', 'scss', 'sh', 'shaderlab', 'sml', 'snippets', 'solidity', 'sql', 'starlark', 'stylus', 'svelte', 'svg',
    'swift', 'systemd', 'systemverilog', 'tcl', 'terraform', 'terraform-vars', 'toml', 'tsv', 'twig', 'typescript',
    'typescriptreact', 'v', 'vb', 'vbnet', 'verilog', 'vhdl', 'vim', 'vue', 'wgsl', 'xml', 'xsl', 'yaml', 'zig', 'zsh',
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
