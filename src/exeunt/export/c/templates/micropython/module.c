/* {{ prefix }} as a native module of MicroPython:
 *
 *     import {{ prefix }}
 *     {{ prefix }}.run(image)             # a whole image, bytes of height x width x channels
 *
 *     {{ prefix }}.init()                 # or row by row
 *     while not {{ prefix }}.push_row(row):
 *         ...                     # read the next row
 *     {{ prefix }}.leave() or {{ prefix }}.step()
 *     {{ prefix }}.result()               # (class, exit), both counted from 0
 *
 * Errors of the runtime are raised as ValueError.
 */
#include "py/dynruntime.h"

#include "{{ prefix }}.h"

/* A native module may write to what is not static alone. */
union {
    uint32_t align;
    uint8_t bytes[{{ PREFIX }}_ARENA_BYTES];
} arena;
exn_state state;

enum { ROW_BYTES = {{ PREFIX }}_WIDTH * {{ PREFIX }}_CHANNELS };

#if !defined(__linux__)
/* Compilers call these where a program has no library of C. */
void *memset(void *to, int value, size_t count)
{
    return mp_fun_table.memset_(to, value, count);
}

void *memcpy(void *to, const void *from, size_t count)
{
    return mp_fun_table.memmove_(to, from, count);
}

void *memmove(void *to, const void *from, size_t count)
{
    return mp_fun_table.memmove_(to, from, count);
}
#endif

static int checked(int status)
{
    if (status == EXN_ERROR_ORDER) {
        mp_raise_ValueError("called out of turn: each image begins with init");
    }
    if (status < 0) {
        mp_raise_ValueError("call init first");
    }
    return status;
}

static const uint8_t *bytes_of(mp_obj_t object, size_t count)
{
    mp_buffer_info_t buffer;
    mp_get_buffer_raise(object, &buffer, MP_BUFFER_READ);
    if (buffer.len != count) {
        mp_raise_ValueError("wrong number of bytes");
    }
    return buffer.buf;
}

static mp_obj_t result(void)
{
    const exn_result *found = {{ prefix }}_result(&state);
    mp_obj_t items[2];
    if (found == NULL) {
        mp_raise_ValueError("no exit has answered yet");
    }
    items[0] = mp_obj_new_int(found->class_index);
    items[1] = mp_obj_new_int(found->exit_index);
    return mp_obj_new_tuple(2, items);
}

static mp_obj_t init(void)
{
    checked({{ prefix }}_init(&state, arena.bytes, sizeof arena.bytes));
    return mp_const_none;
}

/* Whether an exit has answered. */
static mp_obj_t push_row(mp_obj_t row)
{
    int status = checked({{ prefix }}_push_row(&state, bytes_of(row, ROW_BYTES)));
    return mp_obj_new_bool(status == EXN_EXIT);
}

static mp_obj_t step(void)
{
    return mp_obj_new_bool(checked({{ prefix }}_step(&state)) == EXN_EXIT);
}

static mp_obj_t leave(void)
{
    const exn_result *found = {{ prefix }}_result(&state);
    return mp_obj_new_bool(found != NULL && found->leave);
}

static mp_obj_t run(mp_obj_t image)
{
    const uint8_t *bytes = bytes_of(image, (size_t)ROW_BYTES * {{ PREFIX }}_HEIGHT);
    init();
    checked({{ prefix }}_run(&state, bytes));
    return result();
}

static MP_DEFINE_CONST_FUN_OBJ_0(result_obj, result);
static MP_DEFINE_CONST_FUN_OBJ_0(init_obj, init);
static MP_DEFINE_CONST_FUN_OBJ_1(push_row_obj, push_row);
static MP_DEFINE_CONST_FUN_OBJ_0(step_obj, step);
static MP_DEFINE_CONST_FUN_OBJ_0(leave_obj, leave);
static MP_DEFINE_CONST_FUN_OBJ_1(run_obj, run);

mp_obj_t mpy_init(mp_obj_fun_bc_t *self, size_t n_args, size_t n_kw, mp_obj_t *args)
{
    MP_DYNRUNTIME_INIT_ENTRY
    mp_store_global(MP_QSTR_result, MP_OBJ_FROM_PTR(&result_obj));
    mp_store_global(MP_QSTR_init, MP_OBJ_FROM_PTR(&init_obj));
    mp_store_global(MP_QSTR_push_row, MP_OBJ_FROM_PTR(&push_row_obj));
    mp_store_global(MP_QSTR_step, MP_OBJ_FROM_PTR(&step_obj));
    mp_store_global(MP_QSTR_leave, MP_OBJ_FROM_PTR(&leave_obj));
    mp_store_global(MP_QSTR_run, MP_OBJ_FROM_PTR(&run_obj));
    mp_store_global(MP_QSTR_HEIGHT, mp_obj_new_int({{ PREFIX }}_HEIGHT));
    mp_store_global(MP_QSTR_WIDTH, mp_obj_new_int({{ PREFIX }}_WIDTH));
    mp_store_global(MP_QSTR_CHANNELS, mp_obj_new_int({{ PREFIX }}_CHANNELS));
    mp_store_global(MP_QSTR_CLASSES, mp_obj_new_int({{ PREFIX }}_CLASSES));
    mp_store_global(MP_QSTR_EXITS, mp_obj_new_int({{ PREFIX }}_EXITS));
    MP_DYNRUNTIME_INIT_EXIT
}
