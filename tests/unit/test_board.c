/* SPDX-License-Identifier: MIT */
/* The supervisor's side of the board. */
#include "unit/unit.h"

#include <sys/mman.h>

#include "supervisor/board.h"

static state_t st;

static int set_up(void **state) {
  st = (state_t){.n_ages = 6};
  st.board = mmap(NULL, sizeof(cw_board_t), PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return st.board == MAP_FAILED;
}

static int tear_down(void **state) {
  return munmap(st.board, sizeof(cw_board_t));
}

/* What its last worker has left there says nothing of the next one. */
static void a_slot_is_emptied(void **state) {
  cw_slot_t *s = &st.board->slots[3];
  atomic_store(&s->state, CW_WORKER_READY);
  atomic_store(&s->pid, 77);
  atomic_store(&s->wish, CW_WISH_RELOAD);
  atomic_store(&s->beat, 5);
  atomic_store(&s->oldest, 4);
  atomic_store(&s->running[1].busy, 1);
  cw_metrics_note_status(&s->metrics, 200);
  cw_board_clear(&st, 3);
  assert_int_equal(atomic_load(&s->state), CW_WORKER_STARTING);
  assert_int_equal(atomic_load(&s->pid), 0);
  assert_int_equal(atomic_load(&s->wish), CW_WISH_NONE);
  assert_int_equal(atomic_load(&s->beat), 0);
  assert_int_equal(atomic_load(&s->oldest), 0);
  assert_int_equal(atomic_load(&s->running[1].busy), 0);
  assert_int_equal(atomic_load(&s->age), 7);
}

static void slots_that_were_used_are_counted(void **state) {
  cw_board_clear(&st, 3);
  assert_int_equal(atomic_load(&st.board->used), 4);
  cw_board_clear(&st, 0);
  assert_int_equal(atomic_load(&st.board->used), 4);
}

/* 0 would say that nobody watches. */
static void the_watch_runs_before_a_worker_does(void **state) {
  cw_board_clear(&st, 0);
  assert_true(atomic_load(&st.board->watch_ms) > 0);
}

/* Workers can write there; what we know comes back over it. */
static void what_we_know_is_written_over_what_is_there(void **state) {
  st.published.watch_ms = 9;
  st.published.restarts = 2;
  st.published.reloads = 1;
  st.published.used = 1;
  st.published.draining = true;
  st.want = 4;
  memset(st.board, 0x7f, offsetof(cw_board_t, slots));
  cw_board_publish(&st);
  assert_int_equal(atomic_load(&st.board->watch_ms), 9);
  assert_int_equal(atomic_load(&st.board->restarts), 2);
  assert_int_equal(atomic_load(&st.board->reloads), 1);
  assert_int_equal(atomic_load(&st.board->used), 1);
  assert_int_equal(atomic_load(&st.board->draining), 1);
  assert_int_equal(atomic_load(&st.board->workers), 4);
}

/* A tool of another version tells by the layout's number alone: whoever changes one of
 * these raises it. */
static void what_a_layout_is(void **state) {
  const size_t at[] = {offsetof(cw_board_t, watch_ms), offsetof(cw_board_t, used),
                       offsetof(cw_board_t, slots),    sizeof(cw_slot_t),
                       offsetof(cw_slot_t, metrics),   offsetof(cw_slot_t, running),
                       sizeof(cw_running_t),           offsetof(cw_board_t, stacks),
                       offsetof(cw_stacks_t, text),    sizeof(cw_board_t)};
  uint64_t sum = CW_BOARD_LAYOUT;
  for (size_t i = 0; i < CW_ARRAY_LEN(at); i++) sum = sum * 1000003 + at[i];
  cw_board_sign(st.board);
  assert_int_equal(st.board->magic, CW_BOARD_MAGIC);
  assert_int_equal(st.board->layout, CW_BOARD_LAYOUT);
  assert_string_equal(st.board->version, CW_VERSION);
  assert_int_equal(sum, 0xbb2e76d23f2a963e);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_slot_is_emptied),
      TEST(slots_that_were_used_are_counted),
      TEST(the_watch_runs_before_a_worker_does),
      TEST(what_we_know_is_written_over_what_is_there),
      TEST(what_a_layout_is),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
