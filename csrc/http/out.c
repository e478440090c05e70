/* SPDX-License-Identifier: MIT */
/* Sending: directly from the running thread, else by the loop. */
#include "http/out.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
  FILE_SLICE = 1024 * 1024, /* one sendfile(2), so that no one hogs the loop */
  SMALL = 1024,             /* bytes of a response that are joined, */
  HELD = 8 * 1024,          /* and that may be held back */
};

/* sendmsg(2) without blocking. Returns bytes sent (0: none now) or CW_LOST. */
static ssize_t send_parts(cw_req_t *req, struct iovec *iov, int n, int flags) {
  struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)n};
  for (;;) {
    ssize_t sent = n == 1 ? send(req->fd, iov[0].iov_base, iov[0].iov_len,
                                 MSG_NOSIGNAL | MSG_DONTWAIT | flags)
                          : sendmsg(req->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT | flags);
    if (sent >= 0) {
      req->bytes_sent += (uint64_t)sent;
      return sent;
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS) return 0;
    atomic_store(&req->lost, true);
    return CW_LOST;
  }
}

int64_t cw_out_pending(const cw_req_t *req) {
  return (int64_t)cw_buf_pending(&req->out.buf) +
         (req->out.file_fd >= 0 ? req->out.file_left : 0);
}

/* What is left of `s` behind `n` bytes. */
static cw_span_t rest_of(cw_span_t s, size_t n) {
  return n == s.len ? (cw_span_t){"", 0} : (cw_span_t){s.p + n, s.len - n};
}

/* A part is sent or kept, and the rest can be neither: whatever came next, an error
 * page first of all, would stand in the middle of this response. */
static int give_up(cw_req_t *req) {
  atomic_store(&req->lost, true);
  return CW_NOMEM;
}

static int append(cw_buf_t *b, cw_span_t s) {
  return cw_buf_append(b, s.p, s.len);
}

/* Keeps the unsent rest of the parts. Under req->lock. */
static int keep_locked(cw_req_t *req, const cw_parts_t *parts, size_t sent,
                       size_t *taken) {
  cw_buf_t *b = &req->out.buf;
  size_t skip = CW_MIN(sent, parts->before.len);
  if (append(b, rest_of(parts->before, skip)) != 0) return CW_NOMEM;
  sent -= skip;
  skip = CW_MIN(sent, parts->body.len);
  sent -= skip;
  *taken = skip;
  size_t pending = cw_buf_pending(b),
         room = pending < CW_OUT_HIGH ? CW_OUT_HIGH - pending : 0;
  size_t rest = parts->body.len - skip;
  if (rest > room) {
    /* Not even a part of it: the rest goes straight from the caller's memory once
     * the socket has drained. */
    req->waiting = true;
    return CW_WAIT;
  }
  if (append(b, rest_of(parts->body, skip)) != 0 ||
      append(b, rest_of(parts->after, sent)) != 0)
    return CW_NOMEM;
  *taken = parts->body.len;
  return CW_OK;
}

/* Keeps what is left of the parts behind `sent` bytes, and has the loop send it. The
 * client may be lost by now: whoever noticed found nobody waiting, and nobody would
 * come again. Under req->lock. */
static int leave_locked(cw_req_t *req, const cw_parts_t *parts, size_t sent,
                        size_t *taken) {
  if (atomic_load(&req->lost)) return CW_LOST;
  /* What the loop has already it polls for, or was told to. */
  bool told = cw_out_pending(req) > 0;
  int rc = keep_locked(req, parts, sent, taken);
  if (rc == CW_NOMEM) return give_up(req);
  /* Under the lock, so that nobody sees output that nothing will send. */
  if (!told) cw_post(&req->service->posts, &req->post, CW_POST_WRITE, true);
  return rc;
}

/* Sends the parts from the thread, while the loop has nothing to send. Returns the
 * bytes sent or CW_LOST. */
static ssize_t send_all_parts(cw_req_t *req, const cw_parts_t *parts) {
  struct iovec iov[3];
  char whole[SMALL];
  int n = 0;
  const cw_span_t *all[] = {&parts->before, &parts->body, &parts->after};
  size_t len = parts->before.len + parts->body.len + parts->after.len;
  if (len <= sizeof(whole) && parts->body.len) {
    /* The kernel takes one piece more quickly than a list of them. */
    char *end = whole;
    for (int i = 0; i < 3; i++)
      if (all[i]->len) end = mempcpy(end, all[i]->p, all[i]->len);
    iov[0] = (struct iovec){whole, len};
    return send_parts(req, iov, 1, 0);
  }
  for (int i = 0; i < 3; i++)
    if (all[i]->len) iov[n++] = (struct iovec){cw_unconst(all[i]->p), all[i]->len};
  return n ? send_parts(req, iov, n, 0) : 0;
}

/* What is held back goes with the next turn. One that is under way would end for each.
 */
static bool may_wait(cw_req_t *req) {
  return atomic_load_explicit(&req->may_hold, memory_order_relaxed) &&
         !atomic_load(&req->service->posts.waiting);
}

/* Whether a whole small response is left for the next turn, though the socket would
 * take it. */
static bool hold(cw_req_t *req, const cw_parts_t *parts, size_t total) {
  const cw_resp_t *r = &req->resp;
  bool whole = parts->last || (r->length >= 0 && (size_t)r->length == parts->body.len);
  if (!may_wait(req) || !whole || r->sent || total > HELD) return false;
  req->held = true;
  return true;
}

int cw_out_write(cw_req_t *req, const cw_parts_t *parts, size_t *taken) {
  size_t total = parts->before.len + parts->body.len + parts->after.len;
  ssize_t sent = 0;
  *taken = 0;
  if (atomic_load_explicit(&req->lost, memory_order_relaxed)) return CW_LOST;
  pthread_mutex_lock(&req->lock);
  if (!cw_out_pending(req)) {
    /* It stays so: only this thread adds to it. */
    pthread_mutex_unlock(&req->lock);
    if (!hold(req, parts, total)) {
      sent = send_all_parts(req, parts);
      if (sent < 0) return CW_LOST;
      if ((size_t)sent == total) {
        *taken = parts->body.len;
        return CW_OK;
      }
    }
    pthread_mutex_lock(&req->lock);
  }
  int rc = leave_locked(req, parts, (size_t)sent, taken);
  pthread_mutex_unlock(&req->lock);
  return rc;
}

int cw_out_put_locked(cw_req_t *req, const cw_parts_t *parts) {
  const size_t before = parts->before.len, body = before + parts->body.len,
               total = body + parts->after.len;
  bool told = cw_out_pending(req) > 0;
  bool held = !told && total <= HELD && may_wait(req);
  ssize_t sent = atomic_load(&req->lost) ? CW_LOST
                 : told || held          ? 0
                                         : send_all_parts(req, parts);
  if (sent < 0) return CW_LOST;
  size_t n = (size_t)sent;
  if (n == total) return CW_OK;
  cw_buf_t *b = &req->out.buf;
  if (append(b, rest_of(parts->before, CW_MIN(n, before))) != 0 ||
      append(b, rest_of(parts->body, CW_MIN(n, body) - CW_MIN(n, before))) != 0 ||
      append(b, rest_of(parts->after, n - CW_MIN(n, body))) != 0)
    return give_up(req);
  req->held |= held;
  if (!told) cw_post(&req->service->posts, &req->post, CW_POST_WRITE, true);
  return CW_OK;
}

int cw_out_send_interim(cw_req_t *req, cw_span_t text) {
  const cw_parts_t parts = {.before = text, .body = {"", 0}, .after = {"", 0}};
  struct iovec iov = {cw_unconst(text.p), text.len};
  size_t taken;
  int rc = CW_OK;
  pthread_mutex_lock(&req->lock);
  bool room = !cw_out_pending(req);
  /* An answer of the loop's is sent under the same lock, and marks the request lost. */
  ssize_t sent = atomic_load(&req->lost) ? CW_LOST : 0;
  if (sent == 0 && room) sent = send_parts(req, &iov, 1, 0);
  if (sent < 0)
    rc = CW_LOST;
  else if ((size_t)sent < text.len)
    rc = leave_locked(req, &parts, (size_t)sent, &taken);
  pthread_mutex_unlock(&req->lock);
  return rc;
}

/* sendfile(2) without blocking. Returns bytes, 0 for not now, CW_LOST; a file that
 * shrank is lost too: its length was promised. */
static ssize_t send_slice(cw_req_t *req, int fd, int64_t *off, int64_t len) {
  for (;;) {
    off_t at = *off;
    ssize_t sent = sendfile(req->fd, fd, &at, (size_t)CW_MIN(len, (int64_t)FILE_SLICE));
    if (sent > 0) {
      req->bytes_sent += (uint64_t)sent;
      *off = at;
      return sent;
    }
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return 0;
    atomic_store(&req->lost, true);
    return CW_LOST;
  }
}

int cw_out_write_file(cw_req_t *req, cw_span_t before, int fd, int64_t off, int64_t len,
                      int64_t *taken) {
  *taken = 0;
  if (atomic_load_explicit(&req->lost, memory_order_relaxed)) return CW_LOST;
  pthread_mutex_lock(&req->lock);
  bool backlog = cw_out_pending(req) > 0;
  pthread_mutex_unlock(&req->lock);
  size_t head_sent = 0;
  int64_t left = len;
  if (!backlog) {
    if (before.len) {
      struct iovec iov = {cw_unconst(before.p), before.len};
      ssize_t sent = send_parts(req, &iov, 1, left ? MSG_MORE : 0);
      if (sent < 0) return CW_LOST;
      head_sent = (size_t)sent;
    }
    while (head_sent == before.len && left > 0) {
      ssize_t sent = send_slice(req, fd, &off, left);
      if (sent < 0) return CW_LOST;
      if (sent == 0) break;
      left -= sent;
    }
    if (head_sent == before.len && left == 0) {
      *taken = len;
      return CW_OK;
    }
  }
  int copy = left ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
  if (left && copy < 0) return give_up(req);
  pthread_mutex_lock(&req->lock);
  int rc = append(&req->out.buf, rest_of(before, head_sent));
  if (rc == 0) {
    req->out.file_fd = copy;
    req->out.file_off = off;
    req->out.file_left = left;
    cw_post(&req->service->posts, &req->post, CW_POST_WRITE, true);
  }
  pthread_mutex_unlock(&req->lock);
  if (rc != 0) {
    if (copy >= 0) close(copy);
    return give_up(req);
  }
  *taken = len;
  return CW_OK;
}

int cw_out_flush_locked(cw_req_t *req) {
  cw_buf_t *b = &req->out.buf;
  if (atomic_load(&req->lost)) return CW_LOST;
  while (cw_buf_pending(b)) {
    struct iovec iov = {b->p + b->off, cw_buf_pending(b)};
    ssize_t sent = send_parts(req, &iov, 1, req->out.file_fd >= 0 ? MSG_MORE : 0);
    if (sent < 0) return CW_LOST;
    if (sent == 0) return CW_WAIT;
    cw_buf_consume(b, (size_t)sent);
  }
  cw_buf_free(b);
  /* One slice a turn: other connections have their turn, too. */
  if (req->out.file_fd >= 0) {
    ssize_t sent =
        send_slice(req, req->out.file_fd, &req->out.file_off, req->out.file_left);
    if (sent < 0) return CW_LOST;
    req->out.file_left -= sent;
    if (req->out.file_left > 0) return CW_WAIT;
    close(req->out.file_fd);
    req->out.file_fd = -1;
  }
  return CW_OK;
}
