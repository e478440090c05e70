/* SPDX-License-Identifier: MIT */
/* The table of tools. Each is a module of that name in python/cwsgi/_tools. */
#include "launcher/tools.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/exit_codes.h"
#include "base/log.h"
#include "launcher/findpy.h"
#include "launcher/interpreter.h"

const cw_command_t cw_tools[] = {
    {"doctor", "starts an app, and says what costs time or memory or is not safe"},
    {"tune",
     "tries workers and threads with the app's own requests, and says which are best"},
    {"top", "requests, times, threads and memory of a running server, live"},
    {"compile", "write the .pyc files of what an app imports"},
    {"record", "write the list of what a start reads, for --prefetch"},
    {"dump", "what each thread of a running server does, in Python and in C"},
    {NULL, NULL}};

static bool is_help(int argc, char **argv) {
  return argc == 3 && strcmp(argv[1], "help") == 0;
}

const cw_command_t *cw_tool_of(int argc, char **argv) {
  if (argc < 2) return NULL;
  const char *word = is_help(argc, argv) ? argv[2] : argv[1];
  for (const cw_command_t *t = cw_tools; t->word; t++)
    if (strcmp(t->word, word) == 0) return t;
  return NULL;
}

int cw_tool_run(const cw_command_t *tool, int argc, char **argv) {
  char program[PATH_MAX], err[512];
  const char *wanted = getenv("CWSGI_PYTHON");
  static cw_python_t python;
  if (cw_find_python(wanted && *wanted ? wanted : NULL, &python, err, sizeof(err)) !=
      0) {
    cw_complain("%s", err);
    return CW_EXIT_CONFIG;
  }
  /* Tools start servers by it; without /proc as it was typed. */
  ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);
  if (n > 0) program[n] = '\0';
  const char **words = calloc((size_t)argc + 3, sizeof(*words));
  if (!words) {
    cw_complain("out of memory");
    return CW_EXIT_CONFIG;
  }
  int at = 0;
  words[at++] = n > 0 ? program : argv[0];
  words[at++] = tool->word;
  if (is_help(argc, argv)) words[at++] = "--help";
  for (int i = 2; i < argc && !is_help(argc, argv); i++) words[at++] = argv[i];
  cw_interpreter_run_tool(&python, words);
}
