/* SPDX-License-Identifier: MIT */
/* Reading settings: the words of the command line and variables here, the configuration
 * file by a Python of its own. */
#include "launcher/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/exit_codes.h"
#include "base/log.h"
#include "base/signals.h"
#include "base/title.h"
#include "launcher/interpreter.h"

enum {
  MESSAGE = 512,
  LIMIT_US = 60 * 1000 * 1000, /* for a configuration file to be read */
  LOOK_MS = 100,
};

int cw_settings_read_words(const cw_origin_t *o, cw_settings_t *out) {
  char err[MESSAGE];
  int code = CW_EXIT_CONFIG;
  if (cw_settings_init(out) != 0) {
    cw_complain("out of memory");
    return CW_EXIT_CONFIG;
  }
  if (cw_settings_read_env(out, err, sizeof(err)) != 0) goto fail;
  code = CW_EXIT_USAGE;
  if (cw_settings_read_args(out, o->argc - 1, o->argv + 1, CW_FROM_ARGV, err,
                            sizeof(err)) != 0 ||
      cw_settings_read_cmd_args(out, err, sizeof(err)) != 0)
    goto fail;
  return 0;
fail:
  cw_complain("%s", err);
  cw_settings_fini(out);
  return code;
}

/* The file to read, or NULL. */
static const char *config_of(cw_origin_t *o, const cw_settings_t *s) {
  static const char *const names[] = {"./cwsgi.conf.py", "./gunicorn.conf.py"};
  for (size_t i = 0; !o->searched && !o->found && i < CW_ARRAY_LEN(names); i++)
    if (access(names[i], F_OK) == 0) o->found = names[i];
  o->searched = true;
  return cw_opt_str(s, CW_OPT_CONFIG) ? cw_opt_str(s, CW_OPT_CONFIG) : o->found;
}

/* Whether the reader has said that this is all: what the file started may hold the pipe
 * open for longer. */
static bool is_complete(const cw_buf_t *b) {
  static const char end[] = "="; /* with its NUL */
  return b->len >= sizeof(end) &&
         memcmp(b->p + b->len - sizeof(end), end, sizeof(end)) == 0 &&
         (b->len == sizeof(end) || b->p[b->len - sizeof(end) - 1] == '\0');
}

/* Reads the pipe to its end, within the time limit. Returns NULL, or what went wrong.
 */
static const char *read_all(int fd, cw_buf_t *out) {
  int64_t end = cw_now_us() + LIMIT_US;
  for (;;) {
    char chunk[4096];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int rc = poll(&p, 1, LOOK_MS);
    /* The supervisor blocks signals to stop, and reads them later. */
    if (cw_stop_pending()) return "asked to stop";
    if (cw_now_us() > end) return "it takes longer than a minute";
    if (rc == 0 || (rc < 0 && errno == EINTR)) continue;
    ssize_t n = rc > 0 ? read(fd, chunk, sizeof(chunk)) : -1;
    if (n == 0) return NULL;
    if (n < 0 && errno != EINTR) return strerror(errno);
    if (n > 0 && cw_buf_append(out, chunk, (size_t)n) != 0) return "out of memory";
    if (is_complete(out)) return NULL;
  }
}

/* Has a child read the configuration. Returns 0 or -1 (said). */
static int run_reader(const cw_origin_t *o, const char *config, cw_buf_t *out) {
  int fds[2], status = -1;
  if (pipe2(fds, O_CLOEXEC) != 0) {
    cw_complain("cannot read %s: %s", config, strerror(errno));
    return -1;
  }
  pid_t pid = cw_child_fork(&(cw_child_t){.mask = &o->mask,
                                          .death_signal = SIGKILL,
                                          .keep = &fds[1],
                                          .n_keep = 1,
                                          .closes_private = true});
  if (pid == 0) {
    cw_title_set("cwsgi: configuration");
    cw_interpreter_run_config(&o->python, fds[1], config);
  }
  close(fds[1]);
  const char *wrong = pid > 0 ? read_all(fds[0], out) : strerror(errno);
  close(fds[0]);
  if (wrong) cw_complain("cannot read %s: %s", config, wrong);
  if (wrong && pid > 0) kill(pid, SIGKILL);
  while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  /* What is wrong with the file, its reader has said, unless that was ended by it. */
  if (!wrong && status == 0 && !is_complete(out)) {
    cw_complain("cannot read %s: it ends the process that reads it", config);
    return -1;
  }
  return !wrong && status == 0 ? 0 : -1;
}

int cw_settings_add_file(cw_origin_t *o, cw_settings_t *s) {
  char err[MESSAGE];
  const char *found = config_of(o, s);
  char *config = found ? strdup(found) : NULL;
  cw_buf_t entries = {0};
  if (!found) return 0;
  if (!config) {
    cw_complain("out of memory");
    return CW_EXIT_CONFIG;
  }
  if (!o->have_python &&
      cw_find_python(cw_opt_str(s, CW_OPT_PYTHON), &o->python, err, sizeof(err)) != 0) {
    cw_complain("%s", err);
    free(config);
    return CW_EXIT_CONFIG;
  }
  o->have_python = true;
  int rc = run_reader(o, config, &entries);
  if (rc == 0 &&
      (rc = cw_settings_read_file(s, entries.p, entries.len, err, sizeof(err))) != 0)
    cw_complain("%s: %s", config, err);
  /* Workers read it again where it has hooks, from another folder. */
  const char *path = strncmp(config, "file:", 5) == 0 ? config + 5 : config;
  char *full = rc == 0 ? realpath(path, NULL) : NULL;
  cw_source_t source = CW_MAX(s->v[CW_OPT_CONFIG].source, CW_FROM_FILE);
  if (full && (rc = cw_settings_set_text(s, CW_OPT_CONFIG, full, source)) != 0)
    cw_complain("out of memory");
  free(full);
  cw_buf_free(&entries);
  free(config);
  return rc == 0 ? 0 : CW_EXIT_CONFIG;
}
