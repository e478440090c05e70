/* SPDX-License-Identifier: MIT */
/* The program: options, Python, then the supervisor. Plain C; no interpreter is ever
 * loaded into this process. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/exit_codes.h"
#include "base/log.h"
#include "base/marks.h"
#include "base/options.h"
#include "launcher/interpreter.h"
#include "launcher/settings.h"
#include "launcher/tools.h"
#include "supervisor/supervisor.h"

enum { MESSAGE = 512 };

static int print_version(const cw_settings_t *s) {
  cw_python_t python;
  char err[MESSAGE], version[64] = "none found";
  if (cw_find_python(cw_opt_str(s, CW_OPT_PYTHON), &python, err, sizeof(err)) != 0 ||
      cw_interpreter_version(&python, version, sizeof(version)) != 0)
    snprintf(version, sizeof(version), "none found");
  printf("cwsgi %s (CPython %s, libuv %s, llhttp %s, zlib %s)\n", CW_VERSION, version,
         CW_UV_VERSION, CW_LLHTTP_VERSION, CW_ZLIB_VERSION);
  return 0;
}

static int print_help(void) {
  puts(
      "usage: cwsgi [options] APP\n"
      "       cwsgi TOOL ...\n\n"
      "Serves a WSGI app. APP is module:name, module:name.attr, "
      "module:factory(\"arg\")\n"
      "or a bare module that has an 'application' or an 'app'.");
  cw_options_help(cw_tools, stdout);
  return 0;
}

static int print_completion(const char *shell) {
  if (cw_options_completion(shell, cw_tools, stdout) == 0) return 0;
  cw_complain("--completion: '%s' is not bash, zsh or fish", shell);
  return CW_EXIT_USAGE;
}

/* ---- what the supervisor asks for ----------------------------------------- */

static void enter_worker(void *data, int fd, int slot) {
  const cw_origin_t *o = data;
  cw_interpreter_run_worker(&o->python, fd, slot);
}

static void enter_hooks(void *data, int fd, const char *config, const char *folder,
                        const char *log) {
  const cw_origin_t *o = data;
  cw_interpreter_run_hooks(&o->python, fd, config, folder, log);
}

/* Adds what the configuration file says to the words, and finds the interpreter.
 * Returns 0 or an exit code; `s` needs no fini then. */
static int complete(cw_origin_t *o, cw_settings_t *s) {
  char err[MESSAGE];
  int code = cw_settings_add_file(o, s);
  if (code != 0) goto fail;
  code = CW_EXIT_CONFIG;
  if (cw_find_python(cw_opt_str(s, CW_OPT_PYTHON), &o->python, err, sizeof(err)) != 0) {
    cw_complain("%s", err);
    goto fail;
  }
  return 0;
fail:
  cw_settings_fini(s);
  return code;
}

static int read_settings(void *data, cw_settings_t *out) {
  return cw_settings_read_words(data, out) == 0 && complete(data, out) == 0 ? 0 : -1;
}

/* Python makes what PYTHONPATH says absolute as it starts. Workers start it after
 * --chdir, so this has to come first. Returns 0 or -1 (out of memory). */
static int fix_pythonpath(void) {
  const char *path = getenv("PYTHONPATH");
  char cwd[PATH_MAX];
  cw_buf_t out = {0};
  int rc = 0;
  if (!path || !*path || !getcwd(cwd, sizeof(cwd))) return 0;
  for (const char *p = path;; p++) {
    size_t n = strcspn(p, ":");
    if (*p != '/') rc |= cw_buf_append(&out, cwd, strlen(cwd));
    if (*p != '/' && n) rc |= cw_buf_append(&out, "/", 1);
    rc |= cw_buf_append(&out, p, n);
    p += n;
    rc |= cw_buf_append(&out, *p ? ":" : "", 1);
    if (!*p) break;
  }
  if (rc == 0) rc = setenv("PYTHONPATH", out.p, 1);
  cw_buf_free(&out);
  return rc;
}

int main(int argc, char **argv) {
  static cw_settings_t settings;
  static cw_origin_t origin;
  cw_marks_begin();
  origin.argc = argc;
  origin.argv = calloc((size_t)argc + 1, sizeof(*argv));
  for (int i = 0; origin.argv && i < argc; i++)
    if (!(origin.argv[i] = strdup(argv[i]))) origin.argv = NULL;
  if (!origin.argv || fix_pythonpath() != 0) {
    cw_complain("out of memory");
    return CW_EXIT_CONFIG;
  }
  const cw_command_t *tool = cw_tool_of(argc, argv);
  if (tool) return cw_tool_run(tool, argc, argv);
  sigprocmask(SIG_SETMASK, NULL, &origin.mask);
  int code = cw_settings_read_words(&origin, &settings);
  if (code != 0) return code;
  const char *app = cw_opt_str(&settings, CW_OPT_WSGI_APP);
  const char *shell = cw_opt_str(&settings, CW_OPT_COMPLETION);
  if (cw_opt_num(&settings, CW_OPT_HELP) || (app && strcmp(app, "help") == 0))
    return print_help();
  if (cw_opt_num(&settings, CW_OPT_VERSION)) return print_version(&settings);
  if (cw_opt_num(&settings, CW_OPT_HELP_MARKDOWN)) {
    cw_options_markdown(stdout);
    return 0;
  }
  if (cw_opt_num(&settings, CW_OPT_HELP_MAN)) {
    cw_options_man(cw_tools, stdout);
    return 0;
  }
  if (shell) return print_completion(shell);
  if ((code = complete(&origin, &settings)) != 0) return code;
  if (cw_opt_str(&settings, CW_OPT_BOOT_TRACE)) cw_marks_enable();
  cw_mark("settings");
  cw_launcher_t launcher = {.data = &origin,
                            .argc = argc,
                            .argv = origin.argv,
                            .cwd_fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                            .python = origin.python.program,
                            .version = CW_PY_VERSION,
                            .enter_worker = enter_worker,
                            .enter_hooks = enter_hooks,
                            .read_settings = read_settings};
  if (cw_opt_num(&settings, CW_OPT_CHECK_CONFIG) ||
      cw_opt_num(&settings, CW_OPT_PRINT_CONFIG))
    return cw_supervise_check(&launcher, &settings);
  return cw_supervise(&launcher, &settings);
}
