/** The environment of the programs that the extension starts. Pure. */

/** What users set for their own Python. It would reach ours: a project's `enum.py`, for one, in place of Python's. */
const PYTHON_VARIABLES = ['PYTHONPATH', 'PYTHONOPTIMIZE', 'PYTHONHOME', 'PYTHONSTARTUP', 'PYTHONINSPECT'];

export function withoutPythonSettings(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const kept = Object.entries(environment).filter(([name]) => !PYTHON_VARIABLES.includes(name.toUpperCase()));
  return Object.fromEntries(kept);
}
