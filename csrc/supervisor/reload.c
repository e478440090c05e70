/* SPDX-License-Identifier: MIT */
/* New code beside the old: HUP (a new generation of workers) and USR2 (a new cwsgi). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/child.h"
#include "base/clock.h"
#include "supervisor/checks.h"
#include "supervisor/identity.h"
#include "supervisor/reports.h"
#include "supervisor/sdnotify.h"
#include "supervisor/supervisor_internal.h"

/* ---- HUP ------------------------------------------------------------------ */

static void notify_reloading(void) {
  char text[96];
  snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%lld",
           (long long)cw_now_us());
  cw_sd_notify(text);
}

/* A generation that never served goes without ceremony: all is as it was before. */
static void drop_unproven(state_t *st) {
  generation_t *failed = st->gen;
  int before = st->want;
  st->gen = st->fallback;
  st->fallback = NULL;
  st->want = st->gen->want;
  st->automatic = st->gen->automatic;
  cw_enter_dir(st, &st->gen->settings);
  if (cw_reports_open(&st->gen->settings) != 0)
    cw_log(CW_LOG_ERROR, "logs go on where they went");
  cw_adopt_end_zygote(st, failed);
  for (int i = 0; i < CW_MAX_WORKERS; i++) {
    worker_t *w = &st->workers[i];
    if (w->gen != failed || !w->pid) continue;
    w->leaving = w->told = true;
    kill(w->pid, w->sent = SIGKILL);
  }
  cw_generation_unref(st, failed);
  if (before != st->want)
    cw_hooks_call(st, "nworkers_changed", "%d %d", st->want, before);
}

void cw_reload_failed(state_t *st, const char *why) {
  drop_unproven(st);
  cw_log(CW_LOG_ERROR, "Reload failed: %s; the old workers go on serving", why);
  st->next = 0;
  st->failures = 0;
  cw_sd_notify("READY=1");
}

/* What was wrong with them has been said. */
static void refuse_settings(state_t *st) {
  cw_enter_dir(st, &st->gen->settings);
  cw_log(CW_LOG_ERROR,
         "Reload failed: the settings cannot be used; the old workers go on serving");
  cw_sd_notify("READY=1");
}

void cw_reload(state_t *st) {
  cw_settings_t settings;
  if (st->fallback) {
    cw_log(CW_LOG_INFO, "The reload under way is given up for a newer one");
    drop_unproven(st);
  }
  notify_reloading();
  cw_enter_dir(st, NULL);
  if (st->launcher->read_settings(st->launcher->data, &settings) != 0) {
    refuse_settings(st);
    return;
  }
  bool automatic;
  generation_t *gen = NULL;
  if (cw_settings_work_out(&settings, &automatic) != 0 ||
      cw_settings_check(&settings) != 0) {
    cw_settings_fini(&settings);
  } else {
    cw_enter_dir(st, &settings);
    gen = cw_generation_new(st, &settings, st->gen);
  }
  if (!gen) {
    refuse_settings(st);
    return;
  }
  if (cw_reports_open(&gen->settings) != 0)
    cw_log(CW_LOG_ERROR, "logs go on where they went");
  int before = st->gen->want = st->want;
  st->gen->automatic = st->automatic;
  st->automatic = automatic;
  st->want = (int)cw_opt_num(&gen->settings, CW_OPT_WORKERS);
  st->fallback = st->gen;
  st->gen = gen;
  cw_generation_ref(gen);
  st->next = 0;
  st->failures = 0;
  cw_hooks_start(st);
  cw_hooks_call(st, "on_reload", "%s", "");
  if (before != st->want)
    cw_hooks_call(st, "nworkers_changed", "%d %d", st->want, before);
}

/* ---- USR2 ----------------------------------------------------------------- */

#define ENV_TELL "CWSGI_UPGRADE_TELL"

void cw_upgrade_begin(state_t *st) {
  const char *fd = getenv(ENV_TELL);
  if (fd && st->upgrade.parent) {
    st->upgrade.tell = atoi(fd);
    fcntl(st->upgrade.tell, F_SETFD, FD_CLOEXEC);
  }
  unsetenv(ENV_TELL);
}

void cw_upgrade_ready(state_t *st) {
  if (!st->upgrade.tell) return;
  if (write(st->upgrade.tell, "", 1) != 1)
    cw_log(CW_LOG_DEBUG, "the cwsgi before this one does not listen");
  close(st->upgrade.tell);
  st->upgrade.tell = 0;
}

void cw_upgrade_heard(state_t *st) {
  char byte, text[32];
  if (read(st->upgrade.heard, &byte, 1) == 1 && st->upgrade.child) {
    snprintf(text, sizeof(text), "MAINPID=%d", (int)st->upgrade.child);
    cw_sd_notify(text);
  }
  close(st->upgrade.heard);
  st->upgrade.heard = 0;
}

void cw_upgrade(state_t *st) {
  int fds[2];
  if (st->upgrade.child) {
    cw_log(CW_LOG_WARNING, "USR2 ignored: a new cwsgi runs already (pid: %d)",
           (int)st->upgrade.child);
    return;
  }
  if (st->upgrade.parent) {
    cw_log(CW_LOG_WARNING, "USR2 ignored: the cwsgi before this one still runs");
    return;
  }
  cw_hooks_call(st, "pre_exec", "%s", "");
  if (pipe2(fds, O_CLOEXEC) != 0) {
    cw_log(CW_LOG_ERROR, "cannot start a new cwsgi: %s", strerror(errno));
    return;
  }
  /* It lives on when this one ends, and executes cwsgi. */
  pid_t parent = getpid(), pid = cw_child_fork(&(cw_child_t){
                               .mask = &st->old_mask, .keep = &fds[1], .n_keep = 1});
  if (pid == 0) {
    char tell[16];
    snprintf(tell, sizeof(tell), "%d", fds[1]);
    if (setenv(ENV_TELL, tell, 1) != 0 ||
        cw_sockets_hand_over(&st->gen->sockets, parent) != 0) {
      cw_complain("cannot hand the sockets over: %s", strerror(errno));
      _exit(EXIT_CONFIG);
    }
    cw_enter_dir(st, NULL);
    execvp(st->launcher->argv[0], st->launcher->argv);
    cw_complain("cannot start %s again: %s", st->launcher->argv[0], strerror(errno));
    _exit(EXIT_CONFIG);
  }
  close(fds[1]);
  if (pid < 0) {
    cw_log(CW_LOG_ERROR, "cannot fork a new cwsgi: %s", strerror(errno));
    close(fds[0]);
    return;
  }
  if (st->upgrade.heard) close(st->upgrade.heard);
  st->upgrade.heard = fds[0];
  st->upgrade.child = pid;
  cw_log(CW_LOG_INFO, "Started a new cwsgi (pid: %d) beside this one", (int)pid);
}
