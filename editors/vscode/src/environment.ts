/** The environment of the programs that the extension starts. Pure. */

/** Settings for the user's own Python. The server's Python would import a project's `enum.py` in place of its own. */
const PYTHON_VARIABLES = ['PYTHONPATH', 'PYTHONOPTIMIZE', 'PYTHONHOME', 'PYTHONSTARTUP', 'PYTHONINSPECT'];

export function withoutPythonSettings(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const kept = Object.entries(environment).filter(([name]) => !PYTHON_VARIABLES.includes(name.toUpperCase()));
  return Object.fromEntries(kept);
}
