/* SPDX-License-Identifier: MIT */
/* The text that Prometheus reads. */
#include "unit/unit.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/metrics_text.h"

static cw_board_t *board;

static int make_board(void **state) {
  board = calloc(1, sizeof(*board));
  return board ? 0 : -1;
}

static int free_board(void **state) {
  free(board);
  return 0;
}

static bool says(const char *line) {
  cw_buf_t out = {0};
  char with_newline[200];
  assert_int_equal(cw_metrics_text(board, &out), 0);
  assert_int_equal(cw_buf_append(&out, "", 1), 0);
  snprintf(with_newline, sizeof(with_newline), "\n%s\n", line);
  bool found = strstr(out.p, with_newline) != NULL;
  if (!found) print_message("%s", out.p);
  cw_buf_free(&out);
  return found;
}

static void sums_over_workers(void **state) {
  atomic_store(&board->used, 3);
  cw_metrics_t *a = &board->slots[0].metrics, *b = &board->slots[2].metrics;
  atomic_store(&board->slots[0].state, CW_WORKER_READY);
  atomic_store(&board->slots[0].pid, getpid());
  cw_metrics_note_status(a, 200);
  cw_metrics_note_status(a, 200);
  cw_metrics_note_status(b, 200); /* that worker is dead: its counts stay, */
  cw_metrics_note_status(b, 503);
  cw_metrics_note_status(b, 999);
  cw_histogram_note(&a->duration, 2000);
  cw_histogram_note(&b->duration, 1500000);
  atomic_store(&a->connections, 4);
  atomic_store(&b->connections, 7); /* what it had does not */
  atomic_store(&a->ws_open, 3);
  atomic_store(&b->ws_open, 2);
  atomic_store(&a->ws_received, 10);
  atomic_store(&b->ws_received, 20);
  atomic_store(&a->ws_received_bytes, 100);
  atomic_store(&a->ws_sent, 7);
  atomic_store(&b->ws_sent_bytes, 77);
  atomic_store(&a->given, 9);
  atomic_store(&a->started, 7);
  atomic_store(&a->finished, 2);
  atomic_store(&board->restarts, 5);
  assert_true(says("cwsgi_websockets 3"));
  assert_true(says("cwsgi_websocket_messages_received_total 30"));
  assert_true(says("cwsgi_websocket_bytes_received_total 100"));
  assert_true(says("cwsgi_websocket_messages_sent_total 7"));
  assert_true(says("cwsgi_websocket_bytes_sent_total 77"));
  assert_true(says("cwsgi_requests_total{status=\"200\"} 3"));
  assert_true(says("cwsgi_requests_total{status=\"503\"} 1"));
  assert_true(says("cwsgi_requests_total{status=\"other\"} 1"));
  assert_true(says("cwsgi_request_duration_seconds_bucket{le=\"0.001\"} 0"));
  assert_true(says("cwsgi_request_duration_seconds_bucket{le=\"0.0025\"} 1"));
  assert_true(says("cwsgi_request_duration_seconds_bucket{le=\"60\"} 2"));
  assert_true(says("cwsgi_request_duration_seconds_bucket{le=\"+Inf\"} 2"));
  assert_true(says("cwsgi_request_duration_seconds_sum 1.502000"));
  assert_true(says("cwsgi_request_duration_seconds_count 2"));
  assert_true(says("cwsgi_connections 4"));
  assert_true(says("cwsgi_requests_waiting 2"));
  assert_true(says("cwsgi_threads_busy 5"));
  assert_true(says("cwsgi_workers 1"));
  assert_true(says("cwsgi_worker_restarts_total 5"));
  cw_metrics_take_over(a);
  assert_true(says("cwsgi_connections 0"));
  assert_true(says("cwsgi_requests_waiting 0"));
}

/* HELP and TYPE once for each name, and no name without them. */
static void is_well_formed(void **state) {
  cw_buf_t out = {0};
  atomic_store(&board->used, 1);
  atomic_store(&board->slots[0].state, CW_WORKER_READY);
  atomic_store(&board->slots[0].pid, getpid());
  cw_metrics_note_status(&board->slots[0].metrics, 200);
  assert_int_equal(cw_metrics_text(board, &out), 0);
  assert_int_equal(out.p[out.len - 1], '\n');
  assert_int_equal(cw_buf_append(&out, "", 1), 0);
  char name[100] = "", *save = NULL;
  bool resident = false;
  for (char *line = strtok_r(out.p, "\n", &save); line;
       line = strtok_r(NULL, "\n", &save)) {
    if (sscanf(line, "# HELP %99s", name) == 1) continue;
    if (line[0] == '#') {
      char typed[100];
      assert_int_equal(sscanf(line, "# TYPE %99s", typed), 1);
      assert_string_equal(typed, name);
      continue;
    }
    assert_int_equal(strncmp(line, name, strlen(name)), 0);
    assert_non_null(strrchr(line, ' '));
    resident |= strncmp(line, "cwsgi_worker_resident_bytes{worker=\"1\"} ", 40) == 0 &&
                atol(line + 40) > 100000;
  }
  assert_true(resident);
  cw_buf_free(&out);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(sums_over_workers, make_board, free_board),
      cmocka_unit_test_setup_teardown(is_well_formed, make_board, free_board),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
