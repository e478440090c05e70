/* SPDX-License-Identifier: MIT */
/* The two ways into Python: its shared library in this process, or its program.
 * Either way it is the interpreter's own main that reads the environment, finds its
 * prefix and its site-packages, so both behave as the plain interpreter does. */
#ifndef CW_LAUNCHER_INTERPRETER_H
#define CW_LAUNCHER_INTERPRETER_H

#include <stdbool.h>

#include "base/macros.h"
#include "launcher/findpy.h"

/* Runs the worker of `slot` with the heritage in `fd`. Never returns. Called in the
 * worker's process right after fork. */
CW_NORETURN void cw_interpreter_run_worker(const cw_python_t *python, int fd, int slot);

/* The same for the process that runs the master's hooks of the configuration `config`
 * (a socket in `fd`; the rest as in supervisor.h), and for the one that reads it (a
 * pipe's end in `fd`). */
CW_NORETURN void cw_interpreter_run_hooks(const cw_python_t *python, int fd,
                                          const char *config, const char *folder,
                                          const char *log);
CW_NORETURN void cw_interpreter_run_config(const cw_python_t *python, int fd,
                                           const char *config);

/* Runs a tool (python/cwsgi/_tools) in this very process: `words`, NULL-ended, are this
 * program's path, the tool's name, and what is for the tool. Never returns. */
CW_NORETURN void cw_interpreter_run_tool(const cw_python_t *python,
                                         const char *const *words);

/* Writes the interpreter's version ("3.11.7") to `out`. Returns 0, or -1. */
CW_MUSTCHECK int cw_interpreter_version(const cw_python_t *python, char *out,
                                        size_t len);

#endif
