/* SPDX-License-Identifier: MIT */
/* WebSocket on a connection whose request became one: what the client sends is read and
 * queued for the app, pings and the closing handshake are answered here. Everything
 * here belongs to the baton holder; a connection may end inside any function, so its
 * phase is looked at after each. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "http/out.h"
#include "http/refusals.h"
#include "http/server_internal.h"
#include "http/ws_socket.h"

enum {
  GOING_AWAY = 1012, /* the service restarts: IANA's registry */
  NORMAL = 1000,
  INTERNAL = 1011,
};

/* Its part of a connection. */
typedef struct ws_conn {
  cw_req_t *req;
} ws_conn_t;

static cw_req_t *req_of(cw_conn_t *c) {
  return ((ws_conn_t *)(void *)c->part)->req;
}
static cw_ws_t *of(cw_conn_t *c) {
  return req_of(c)->ws;
}

static bool is_paused(cw_conn_t *c) {
  cw_req_t *req = req_of(c);
  pthread_mutex_lock(&req->lock);
  bool paused = req->ws->paused;
  pthread_mutex_unlock(&req->lock);
  return paused;
}

static bool is_sending(cw_conn_t *c) {
  cw_req_t *req = req_of(c);
  pthread_mutex_lock(&req->lock);
  bool sending = cw_out_pending(req) > 0;
  pthread_mutex_unlock(&req->lock);
  return sending;
}

/* ---- the clock --------------------------------------------------------- */

/* Of an open socket whose output has left: pings, where they are asked for. */
static void wind_up(cw_conn_t *c) {
  const cw_timeqs_t *qs = &c->srv->timers;
  if (of(c)->unanswered && qs->duration[CW_TIMER_PONG])
    cw_conn_start_window(c, CW_TIMER_PONG);
  else if (qs->duration[CW_TIMER_PING])
    cw_conn_start_timer(c, CW_TIMER_PING);
  else
    cw_timer_stop(&c->timer);
}

/* ---- the end ----------------------------------------------------------- */

/* The app hears of it. */
static void note_closed(cw_conn_t *c, int code, const char *reason, size_t n) {
  cw_req_t *req = req_of(c);
  pthread_mutex_lock(&req->lock);
  cw_ws_note_closed_locked(req, code, reason, n);
  pthread_mutex_unlock(&req->lock);
}

/* Nothing more will be said, and all of it has left: ends our half of the connection,
 * as the server does first (section 7.1.1). */
static void hang_up(cw_conn_t *c) {
  const cw_ws_t *ws = of(c);
  if (!c->running)
    cw_conn_linger(c, (cw_end_t)ws->why);
  else if (c->eof)
    cw_conn_lose(c, (cw_end_t)ws->why);
  else
    shutdown(c->fd, SHUT_WR);
}

/* The handshake is over, or the connection failed. What the client still sends is
 * thrown away: closing under it would reset the connection under our close. */
static void end_talk(cw_conn_t *c, cw_end_t why) {
  cw_ws_t *ws = of(c);
  ws->state = CW_WS_ENDED;
  ws->why = (uint8_t)why;
  cw_ws_reader_fini(&ws->reader);
  cw_conn_start_window(c, CW_TIMER_CLOSE);
  if (!is_sending(c)) hang_up(c);
}

/* Begins the closing handshake, and no message is taken from the client any more. */
static void begin_close(cw_conn_t *c, int code) {
  cw_req_t *req = req_of(c);
  pthread_mutex_lock(&req->lock);
  cw_ws_put_close_locked(req, code, "", 0);
  cw_ws_note_closed_locked(req, code, "", 0);
  pthread_mutex_unlock(&req->lock);
  of(c)->state = CW_WS_CLOSING;
  cw_conn_start_window(c, CW_TIMER_CLOSE);
}

/* RFC 6455 section 7.1.7: fails the connection. */
static void fail(cw_conn_t *c, int code, cw_end_t why) {
  cw_req_t *req = req_of(c);
  pthread_mutex_lock(&req->lock);
  cw_ws_put_close_locked(req, code, "", 0);
  cw_ws_note_closed_locked(req, code, "", 0);
  pthread_mutex_unlock(&req->lock);
  end_talk(c, why);
}

/* ---- input ------------------------------------------------------------- */

static void take_message(cw_conn_t *c, cw_ws_data_t *m) {
  cw_req_t *req = req_of(c);
  cw_ws_t *ws = req->ws;
  if (ws->state != CW_WS_OPEN) {
    free(m);
    return;
  }
  pthread_mutex_lock(&req->lock);
  *ws->last = m;
  ws->last = &m->next;
  ws->queued++;
  ws->queued_bytes += m->len;
  ws->paused = ws->queued >= req->service->limits.ws_queue ||
               ws->queued_bytes >= CW_WS_QUEUE_HIGH;
  cw_ws_rouse_locked(req);
  pthread_mutex_unlock(&req->lock);
}

/* Section 5.5.2. A client that does not read gets no more of them: each pong in a row
 * answers the pings before. */
static void answer_ping(cw_conn_t *c, const cw_ws_item_t *item) {
  cw_req_t *req = req_of(c);
  pthread_mutex_lock(&req->lock);
  if (!req->ws->close_sent && cw_out_pending(req) < CW_OUT_HIGH)
    /* Whether it is lost is looked at behind the last item. */
    (void)cw_ws_put_locked(req, CW_WS_OP_PONG, false, item->control, item->control_len);
  pthread_mutex_unlock(&req->lock);
}

static void take_close(cw_conn_t *c, const cw_ws_item_t *item) {
  cw_req_t *req = req_of(c);
  pthread_mutex_lock(&req->lock);
  cw_ws_put_close_locked(req, item->code, "", 0);
  cw_ws_note_closed_locked(req, item->code, item->control, item->control_len);
  pthread_mutex_unlock(&req->lock);
  end_talk(c, CW_END_WS_CLOSED);
}

static void take_item(cw_conn_t *c, cw_ws_item_t *item) {
  cw_ws_t *ws = of(c);
  switch (item->what) {
    case CW_WS_MESSAGE: take_message(c, item->message); break;
    case CW_WS_PING: answer_ping(c, item); break;
    case CW_WS_PONG:
      ws->unanswered = false;
      if (ws->state == CW_WS_OPEN && !c->want_write) wind_up(c);
      break;
    case CW_WS_CLOSE: take_close(c, item); break;
    case CW_WS_BROKEN:
      cw_refusal_log(c, NULL, item->code, item->why, (cw_span_t){NULL, 0});
      fail(c, item->code, CW_END_WS_BROKEN);
      break;
    default: break;
  }
}

static size_t consume(cw_conn_t *c, const char *p, size_t n) {
  cw_ws_t *ws = of(c);
  size_t used = 0;
  while (used < n && ws->state != CW_WS_ENDED) {
    cw_ws_item_t item;
    if (ws->state == CW_WS_OPEN && is_paused(c)) break;
    size_t k = cw_ws_reader_next(&ws->reader, p + used, n - used, &item);
    used += k;
    req_of(c)->body.received += (int64_t)k;
    if (!c->want_write) c->moved += (uint32_t)k;
    take_item(c, &item);
    if (cw_conn_is_over(c)) return n;
  }
  /* An answer could not be sent, or not be kept. */
  if (atomic_load(&req_of(c)->lost) && !c->eof) cw_conn_lose(c, CW_END_SOCKET);
  if (cw_conn_is_over(c)) return n;
  return ws->state == CW_WS_ENDED ? n : used;
}

/* Goes on with what was kept. */
static void read_on(cw_conn_t *c) {
  if (cw_buf_pending(&c->in))
    cw_conn_feed(c, NULL, 0);
  else
    cw_conn_update_poll(c);
}

static bool wants_read(cw_conn_t *c) {
  return of(c)->state != CW_WS_OPEN || !is_paused(c);
}

static void on_eof(cw_conn_t *c) {
  const cw_ws_t *ws = of(c);
  if (ws->state != CW_WS_ENDED) {
    cw_conn_lose(c, CW_END_CLIENT);
    return;
  }
  /* It has our close, or what is left of it is on its way. */
  if (!is_sending(c)) cw_conn_lose(c, (cw_end_t)ws->why);
  cw_conn_update_poll(c);
}

/* ---- output ------------------------------------------------------------ */

/* Returns whether all has left, and the connection goes on. */
static bool flush(cw_conn_t *c) {
  cw_req_t *req = req_of(c);
  bool all = cw_conn_flush(c, req);
  if (cw_conn_is_over(c)) return false;
  pthread_mutex_lock(&req->lock);
  if (cw_out_pending(req) < CW_OUT_HIGH / 2) cw_ws_rouse_locked(req);
  pthread_mutex_unlock(&req->lock);
  return all;
}

static void on_writable(cw_conn_t *c) {
  if (!flush(c)) return;
  if (of(c)->state == CW_WS_OPEN) wind_up(c);
  if (of(c)->state == CW_WS_ENDED) hang_up(c);
  cw_conn_update_poll(c);
}

/* Something waits to be sent. */
static void want_write(cw_conn_t *c) {
  if (c->want_write || atomic_load(&req_of(c)->lost) || !is_sending(c)) return;
  c->want_write = true;
  if (of(c)->state == CW_WS_OPEN) cw_conn_start_window(c, CW_TIMER_STALL);
}

/* Sends what was held back for this turn. As with what the app's thread sends itself,
 * the clock of pings goes on: it says nothing of the client. */
static void on_posted_write(cw_conn_t *c) {
  cw_req_t *req = req_of(c);
  pthread_mutex_lock(&req->lock);
  bool held = req->held;
  req->held = false;
  pthread_mutex_unlock(&req->lock);
  uint32_t moved = c->moved;
  if (held && !c->want_write && is_sending(c) && flush(c)) {
    c->moved = moved;
    if (of(c)->state == CW_WS_ENDED) hang_up(c);
  }
  if (!cw_conn_is_over(c)) want_write(c);
}

/* The app is done. */
static void on_done(cw_conn_t *c, cw_req_t *req) {
  cw_ws_t *ws = req->ws;
  c->running = 0;
  if (atomic_load(&req->lost)) {
    cw_conn_close(c, CW_END_SOCKET);
    return;
  }
  pthread_mutex_lock(&req->lock);
  cw_ws_drop_locked(ws);
  ws->paused = false;
  pthread_mutex_unlock(&req->lock);
  if (ws->state == CW_WS_OPEN) begin_close(c, req->failed ? INTERNAL : NORMAL);
  if (ws->state == CW_WS_ENDED && !is_sending(c)) hang_up(c);
  if (!cw_conn_is_over(c)) read_on(c);
}

static void on_post(cw_conn_t *c, cw_req_t *req, int what) {
  cw_ws_t *ws = req->ws;
  if ((what & CW_POST_CLOSE) && ws->state == CW_WS_OPEN) {
    ws->state = CW_WS_CLOSING;
    cw_conn_start_window(c, CW_TIMER_CLOSE);
  }
  if (what & CW_POST_WRITE) on_posted_write(c);
  if (cw_conn_is_over(c)) return;
  if (what & CW_POST_DONE) {
    on_done(c, req);
    return;
  }
  /* A close ends a pause, too: the client's is to be seen. */
  if (c->eof)
    cw_conn_update_poll(c);
  else
    read_on(c);
}

/* ---- time -------------------------------------------------------------- */

static void send_ping(cw_conn_t *c) {
  cw_req_t *req = req_of(c);
  cw_ws_t *ws = req->ws;
  /* What the client sends is not looked at until the app reads: no pong either. */
  if (!is_paused(c)) {
    char payload[4];
    memcpy(payload, &ws->pings, sizeof(payload));
    ws->pings++;
    ws->unanswered = true;
    pthread_mutex_lock(&req->lock);
    int rc = cw_ws_put_locked(req, CW_WS_OP_PING, false, payload, sizeof(payload));
    pthread_mutex_unlock(&req->lock);
    if (rc != CW_OK) {
      cw_conn_lose(c, CW_END_SOCKET);
      return;
    }
  }
  wind_up(c);
}

/* Whether the client took as much in this window as a response's has to. */
static bool is_reading_on(const cw_conn_t *c) {
  const cw_server_t *srv = c->srv;
  uint64_t least =
      (uint64_t)srv->service.limits.rate * srv->timers.duration[CW_TIMER_CLOSE] / 1000;
  return c->moved > 0 && c->moved >= least;
}

static void on_timer(cw_conn_t *c) {
  switch (c->timer.kind) {
    case CW_TIMER_STALL:
      if (cw_conn_kept_pace(c))
        cw_conn_start_window(c, CW_TIMER_STALL);
      else
        cw_conn_lose(c, CW_END_STALLED);
      break;
    case CW_TIMER_PING: send_ping(c); break;
    case CW_TIMER_PONG:
      /* A long frame leaves no room for a pong, but is a sign of life, too. */
      if (c->moved > 0 || is_paused(c))
        cw_conn_start_window(c, CW_TIMER_PONG);
      else
        fail(c, INTERNAL, CW_END_WS_SILENT);
      break;
    default: /* CLOSE */
      /* What was sent before goes on leaving. */
      if (c->want_write && is_reading_on(c)) {
        cw_conn_start_window(c, CW_TIMER_CLOSE);
        break;
      }
      cw_conn_lose(c, of(c)->why ? (cw_end_t)of(c)->why : CW_END_WS_MUTE);
      break;
  }
  if (!cw_conn_is_over(c)) cw_conn_update_poll(c);
}

static void on_drain(cw_conn_t *c) {
  atomic_store(&req_of(c)->post.attention, true);
  if (of(c)->state != CW_WS_OPEN) return;
  begin_close(c, GOING_AWAY);
  read_on(c);
}

/* ---- the rest of the table --------------------------------------------- */

static void lose(cw_conn_t *c) {
  note_closed(c, CW_WS_LOST, "", 0);
  cw_req_mark_lost(req_of(c));
}

static void evict(cw_conn_t *c) {
  cw_conn_lose(c, CW_END_EVICTED);
}

static void give_up(cw_conn_t *c) {
  c->running = 0;
}

static void end(cw_conn_t *c) {
  cw_req_t *req = req_of(c);
  if (!req) return;
  cw_account_t *account = &c->srv->service.account;
  req->done_at = 0; /* now */
  cw_account_once(account, req);
  cw_account_websocket(account, false);
  cw_ws_free(req->ws);
  req->ws = NULL;
  cw_req_discard(req);
  ((ws_conn_t *)(void *)c->part)->req = NULL;
}

static size_t held(cw_conn_t *c, uint32_t *awaited) {
  *awaited = 0;
  return 0;
}

static void check(cw_conn_t *c) {
  cw_req_t *req = req_of(c);
  const cw_ws_t *ws = req->ws;
  assert(ws && req->conn == c && !c->collecting);
  pthread_mutex_lock(&req->lock);
  assert(!ws->queued == !ws->first);
  assert(ws->state == CW_WS_OPEN || ws->closed);
  pthread_mutex_unlock(&req->lock);
  cw_conn_check_output(c, req);
  /* Nobody waits for ever for the end of a socket. */
  assert(ws->state == CW_WS_OPEN || atomic_load(&req->lost) ||
         cw_timer_runs(&c->timer, CW_TIMER_CLOSE));
  (void)ws;
}

const cw_protocol_t cw_websocket = {
    .size = sizeof(ws_conn_t),
    .consume = consume,
    .on_eof = on_eof,
    .on_writable = on_writable,
    .on_timer = on_timer,
    .on_drain = on_drain,
    .on_post = on_post,
    /* No deadline: it ends when the request becomes a socket. */
    .evict = evict,
    .lose = lose,
    .abort = give_up,
    .end = end,
    .wants_read = wants_read,
    .held = held,
    .check = check,
};

void cw_ws_open(cw_conn_t *c, cw_req_t *req, int what) {
  CW_ASSERT_BATON(c->srv);
  assert(c->protocol->size >= cw_websocket.size && c->running);
  c->protocol = &cw_websocket;
  ((ws_conn_t *)(void *)c->part)->req = req;
  if (req->service->limits.request_timeout > 0) cw_timer_stop(&req->deadline);
  atomic_store(&req->ws->opened, true);
  cw_account_websocket(&req->service->account, true);
  cw_timer_stop(&c->timer);
  wind_up(c);
  if (req->service->draining) begin_close(c, GOING_AWAY);
  if (c->eof) cw_conn_lose(c, CW_END_CLIENT);
  on_post(c, req, what);
}
