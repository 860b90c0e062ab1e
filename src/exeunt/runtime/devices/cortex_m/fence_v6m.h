/* A Cortex-M0 has no memory protection unit: the board is given no more RAM than it may use. */

static void fence(uint32_t at, uint32_t size)
{
    (void)at;
    (void)size;
}
