/* SPDX-License-Identifier: MIT */
/* What a worker inherits: one memfd (it survives both fork and exec) that the
 * supervisor makes for every generation of workers: settings and listeners. It is
 * sealed before the first of them is forked, so nobody can write to it, and the
 * supervisor reads only the copy that it has kept. Never backed by a file: container
 * file systems are memory.
 */
#ifndef CW_BASE_HERITAGE_H
#define CW_BASE_HERITAGE_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

#define CW_HERITAGE_MAGIC 0x63777367u

enum {
  CW_MAX_LISTENERS = 32,
  CW_SLOT_ZYGOTE = -1, /* in a slot's place: import the app, then fork workers */
  CW_SLOT_CHECK = -2,  /* import the app, say whether that worked */
};

typedef struct cw_listener {
  int fd;
  int is_unix;
  int metrics;                 /* serves --metrics and nothing else */
  char host[CW_LISTENER_TEXT]; /* SERVER_NAME: as bound, or a Unix socket's path */
  char port[CW_PORT_TEXT];     /* SERVER_PORT; empty for a Unix socket */
} cw_listener_t;

/* INT and QUIT: what can end within this time may. The worker's deadline, ms. */
enum { CW_QUICK_GRACE_MS = 1000 };

/* What a worker handles itself. The supervisor starts it with these blocked; it
 * unblocks them when its handlers are there. */
static const int cw_handled[] = {SIGTERM, SIGINT, SIGQUIT, SIGUSR1};

/* What the supervisor tells a worker, each a byte in the worker's pipe. Bits, for a
 * worker that reads several at once. */
typedef enum cw_word {
  CW_WORD_NONE = 0,
  CW_WORD_STOP = 1,   /* as SIGTERM */
  CW_WORD_QUIT = 2,   /* as SIGQUIT */
  CW_WORD_REOPEN = 4, /* as SIGUSR1 */
  CW_WORD_LATE = 8,   /* a request has passed --timeout: a successor is on its way */
  CW_WORD_SHOW = 16,  /* as CW_SIGNAL_SHOW (base/board.h), of which it comes */
} cw_word_t;

/* What supervisor and zygote say to each other, a datagram each. The supervisor names a
 * slot; the zygote answers with the process that it forked for it (pid < 0: it could
 * not), and once, slot CW_SLOT_ZYGOTE, that it has imported the app. With a slot comes
 * the reading end of the worker's pipe (SCM_RIGHTS). */
typedef struct cw_zygote_message {
  int slot, pid;
} cw_zygote_message_t;

typedef struct cw_heritage {
  uint32_t magic;
  uint32_t size; /* of the mapping, bytes */
  int n_listeners;
  int n_workers;  /* wanted: wsgi.multiprocess is true above one */
  int supervisor; /* its process id */
  int alone;      /* no older workers serve, should these not start */
  int other_user; /* the workers have another user or group than the supervisor */
  int control_fd; /* the zygote's end of its SOCK_SEQPACKET pair; a worker's end of the
                     pipe in which it is spoken to, unless a zygote forks it */
  int board_fd;   /* the cw_board_t, another memfd */
  int notify_fd;  /* a byte written here makes the supervisor look at the board */
  int argc;       /* words at argv_off, NUL-ended each */
  uint32_t argv_off;
  uint32_t settings_off; /* packed settings (cw_settings_unpack) */
  uint32_t settings_len;
  cw_listener_t listeners[CW_MAX_LISTENERS];
  char cwd[4096]; /* where cwsgi was started; "" where that is not known */
} cw_heritage_t;

/* Whether `size` bytes of memory are a heritage that can be read without care: all
 * offsets and counts are inside it, all texts end. */
bool cw_heritage_is_sound(const void *memory, size_t size);

#endif
