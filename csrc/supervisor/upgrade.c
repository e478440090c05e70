/* SPDX-License-Identifier: MIT */
/* USR2: a new cwsgi beside this one, which takes over its sockets. */
#include "supervisor/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/child.h"
#include "base/exit_codes.h"
#include "supervisor/boot.h"
#include "supervisor/hooks.h"
#include "supervisor/sdnotify.h"

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
  cw_hooks_call(st, CW_HOOK_PRE_EXEC, "%s", "");
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
      _exit(CW_EXIT_CONFIG);
    }
    cw_enter_dir(st, NULL);
    execvp(st->launcher->argv[0], st->launcher->argv);
    cw_complain("cannot start %s again: %s", st->launcher->argv[0], strerror(errno));
    _exit(CW_EXIT_CONFIG);
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
