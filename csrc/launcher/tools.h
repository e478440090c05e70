/* SPDX-License-Identifier: MIT */
/* Words that are no app: `cwsgi WORD ...` runs a tool of the Python package. */
#ifndef CW_LAUNCHER_TOOLS_H
#define CW_LAUNCHER_TOOLS_H

#include "base/options.h"

/* All of them, until one whose word is NULL. */
extern const cw_command_t cw_tools[];

/* The tool that this command line begins with, or NULL: an app is to be served. The
 * words after it are the tool's own. `cwsgi help WORD` is `cwsgi WORD --help`. */
const cw_command_t *cw_tool_of(int argc, char **argv);

/* Runs the tool in the interpreter that serves apps. Returns an exit code, where it
 * cannot be started. Never starts a server. */
int cw_tool_run(const cw_command_t *tool, int argc, char **argv);

#endif
