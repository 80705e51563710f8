--- Defines the highlight groups. All are defaults, so colour schemes and users can override them.

local M = {}

--- Levels of certainty in a draft: DglsDraft1 (a guess) to DglsDraft5 (certain).
M.levels = 5

---@param mixed integer 0xRRGGBB
---@param with integer 0xRRGGBB
---@param share number of `mixed` in the result
local function mix(mixed, with, share)
  local result = 0
  for _, unit in ipairs({ 0x10000, 0x100, 1 }) do
    local one, other = math.floor(mixed / unit) % 0x100, math.floor(with / unit) % 0x100
    result = result + unit * math.floor(one * share + other * (1 - share) + 0.5)
  end
  return result
end

---@param name string
---@param part 'fg'|'bg'
local function colour(name, part, default)
  return vim.api.nvim_get_hl(0, { name = name, link = false })[part] or default
end

function M.define()
  local dark = vim.o.background == 'dark'
  local ink = colour('Normal', 'fg', dark and 0xe0e2ea or 0x14161b)
  local paper = colour('Normal', 'bg', dark and 0x14161b or 0xe0e2ea)
  local doubt = colour('DiagnosticWarn', 'fg', 0xd7875f)
  for level = 1, M.levels do
    local sure = (level - 1) / (M.levels - 1)
    vim.api.nvim_set_hl(0, 'DglsDraft' .. level, {
      default = true,
      fg = mix(mix(ink, doubt, sure), paper, 0.45 + 0.5 * sure),
      italic = true,
      ctermfg = level < 3 and 8 or nil,
    })
  end
  local gone, come = colour('Removed', 'fg', 0xd75f5f), colour('Added', 'fg', 0x5faf5f)
  for name, paint in pairs({
    DglsReplaced = { link = 'NonText' }, -- the text that a draft would replace
    DglsOld = { bg = mix(gone, paper, 0.25) }, -- a preview's removed lines
    DglsNew = { bg = mix(come, paper, 0.2), fg = ink }, -- its new lines
    DglsNewText = { bg = mix(come, paper, 0.4), fg = ink }, -- the changed part of a new line
    DglsNextOld = { fg = mix(gone, paper, 0.7), strikethrough = true }, -- what a next edit replaces
    DglsNextNew = { fg = mix(come, paper, 0.7), italic = true }, -- the text that it puts there
    DglsHint = { link = 'NonText' }, -- where it is, if out of sight
    DglsBar = { link = 'StatusLine' }, -- the line below a preview
    DglsKey = { fg = colour('Special', 'fg', ink), bold = true }, -- the keys in it
  }) do
    vim.api.nvim_set_hl(0, name, vim.tbl_extend('error', { default = true }, paint))
  end
end

return M
