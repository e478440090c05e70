/* SPDX-License-Identifier: MIT */
/* Booting a worker, a zygote or a check: the new process leaves nothing of the
 * supervisor behind, and enters Python. */
#include "supervisor/boot.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/child.h"
#include "base/exit_codes.h"
#include "base/marks.h"
#include "base/title.h"
#include "supervisor/generation.h"
#include "supervisor/identity.h"
#include "supervisor/reports.h"

/* No orphan may keep the port: it ends when the supervisor does, however it does. */
enum { DEATH_SIGNAL = SIGTERM };

/* What comes while Python starts waits for the worker's handlers: it would kill, and
 * look like a failure. */
static sigset_t blocked_until_handled(const state_t *st, int slot) {
  sigset_t mask = st->old_mask;
  for (size_t i = 0; slot != CW_SLOT_CHECK && i < CW_ARRAY_LEN(cw_handled); i++)
    sigaddset(&mask, cw_handled[i]);
  return mask;
}

/* In the new process. */
static CW_NORETURN void become(state_t *st, generation_t *gen, int slot, int control_fd,
                               pid_t parent) {
  const cw_settings_t *s = &gen->settings;
  const char *dir = cw_opt_str(s, CW_OPT_CHDIR);
  cw_mark("fork");
  const cw_value_t *env = &s->v[CW_OPT_RAW_ENV], *file = &s->v[CW_OPT_ENVIRON];
  /* The heritage does not change: it names the place of a descriptor of ours that no
   * child keeps. */
  if (control_fd >= 0 && dup2(control_fd, gen->h->control_fd) < 0)
    _exit(CW_EXIT_CONFIG);
  if (control_fd >= 0) close(control_fd);
  cw_reports_capture(s);
  /* Until Python is there; nobody should take it for a supervisor meanwhile. */
  cw_title_set(slot < 0 ? "cwsgi: preloading" : "cwsgi: worker %d", slot + 1);
  if (dir && chdir(dir) != 0) {
    cw_complain("--chdir: cannot enter %s: %s", dir, strerror(errno));
    _exit(CW_EXIT_CONFIG);
  }
  setenv("SERVER_SOFTWARE", "cwsgi/" CW_VERSION, 1);
  /* putenv() of a bare name removes it. */
  for (unsigned i = 0; i < file->n_items; i++) putenv(file->items[i]);
  /* A name alone changes nothing here. */
  for (unsigned i = 0; i < env->n_items; i++)
    if (strchr(env->items[i], '=')) putenv(env->items[i]);
  if (cw_identity_assume(s) != 0) _exit(CW_EXIT_CONFIG);
  if (access(st->launcher->python, X_OK) != 0) {
    const char *user = cw_opt_str(s, CW_OPT_USER);
    cw_complain("%s%s cannot start %s: %s", user ? "--user " : "the workers",
                user ? user : "", st->launcher->python, strerror(errno));
    _exit(CW_EXIT_CONFIG);
  }
  /* The change of user has made the kernel forget it. */
  cw_child_tie(parent, DEATH_SIGNAL);
  cw_mark("process");
  st->launcher->enter_worker(st->launcher->data, gen->h_fd, slot);
  _exit(CW_EXIT_CONFIG);
}

pid_t cw_boot(state_t *st, generation_t *gen, int slot, int control_fd) {
  if (cw_heritage_share(gen) != 0) return -1;
  sigset_t mask = blocked_until_handled(st, slot);
  int keep[CW_MAX_LISTENERS + 4];
  size_t n = 0;
  for (int i = 0; i < gen->sockets.n; i++) keep[n++] = gen->sockets.l[i].fd;
  keep[n++] = gen->h_fd;
  keep[n++] = st->board_fd;
  keep[n++] = st->notify[1];
  keep[n++] = control_fd;
  cw_mark("supervisor");
  pid_t parent = getpid(),
        pid = cw_child_fork(&(cw_child_t){.mask = &mask,
                                          .death_signal = DEATH_SIGNAL,
                                          .keep = keep,
                                          .n_keep = n,
                                          .closes_private = true});
  if (pid == 0) become(st, gen, slot, control_fd, parent);
  /* Others start warmer, and would take the first one's place in the file. */
  cw_marks_disable();
  if (pid < 0) cw_log(CW_LOG_ERROR, "cannot fork a worker: %s", strerror(errno));
  return pid;
}

void cw_enter_dir(state_t *st, const cw_settings_t *s) {
  const char *dir = s ? cw_opt_str(s, CW_OPT_CHDIR) : NULL;
  if (dir ? chdir(dir) != 0 : fchdir(st->launcher->cwd_fd) != 0)
    cw_complain("cannot enter %s: %s", dir ? dir : "the folder of the start",
                strerror(errno));
}
