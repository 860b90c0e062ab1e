/* A camera that gives one row at a time, and a network that takes each as it comes.
 *
 * No image is ever stored. Replace cameraReadRow by what your camera needs; everything else stays.
 */
#include <{{ prefix }}.h>

static union {
  uint32_t align;
  uint8_t bytes[{{ PREFIX }}_ARENA_BYTES];
} arena;
static exn_state state;

/* A bright disc on a dark ground, one row of it: {{ PREFIX }}_WIDTH pixels of {{ PREFIX }}_CHANNELS bytes. */
static void cameraReadRow(int y, uint8_t *row) {
  for (int x = 0; x < {{ PREFIX }}_WIDTH; x++) {
    long dx = 2L * x - {{ PREFIX }}_WIDTH, dy = 2L * y - {{ PREFIX }}_HEIGHT;
    bool inside = dx * dx + dy * dy < (long){{ PREFIX }}_WIDTH * {{ PREFIX }}_WIDTH / 4;
    for (int c = 0; c < {{ PREFIX }}_CHANNELS; c++) {
      *row++ = inside ? 220 : 30;
    }
  }
}

void setup() {
  Serial.begin(115200);
}

void loop() {
  unsigned long began = millis();
  int y = 0;
  int status = {{ prefix }}_init(&state, arena.bytes, sizeof arena.bytes);
  while (status == EXN_ROW || (status == EXN_EXIT && !{{ prefix }}_result(&state)->leave)) {
    uint8_t *row = exn_row_place(&state); /* where the network is going to read it */
    if (row == NULL) {
      status = {{ prefix }}_step(&state);
    } else {
      cameraReadRow(y++, row);
      status = {{ prefix }}_push_row(&state, row);
    }
  }
  if (status < 0) {
    Serial.println(exn_status_text(status));
  } else {
    Serial.print({{ prefix }}_class_names[{{ prefix }}_result(&state)->class_index]);
    Serial.print(" at exit ");
    Serial.print({{ prefix }}_result(&state)->exit_index + 1);
    Serial.print(" in ms: ");
    Serial.println(millis() - began);
  }
  delay(1000);
}
