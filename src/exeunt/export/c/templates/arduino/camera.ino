/* A camera that gives one row at a time, and a network that takes each as it comes.
 *
 * No image is ever stored. Replace cameraReadRow by what your camera needs, and say below what its
 * rows hold; everything else stays.
 */
#include <exn_camera.h>
#include <{{ prefix }}.h>

static const int CAMERA_WIDTH = {{ camera[0] }}, CAMERA_HEIGHT = {{ camera[1] }};
static const exn_format CAMERA_FORMAT = EXN_RGB565_BE;

static union {
  uint32_t align;
  uint8_t bytes[{{ PREFIX }}_ARENA_BYTES];
} arena;
static exn_state state;
static exn_camera camera;
static uint16_t sums[EXN_CAMERA_SUMS({{ PREFIX }}_WIDTH)];
static uint8_t cameraRow[2 * CAMERA_WIDTH];

/* A bright disc on a dark ground, one row of it, in place of a camera. */
static void cameraReadRow(int y) {
  for (int x = 0; x < CAMERA_WIDTH; x++) {
    long dx = x - CAMERA_WIDTH / 2, dy = y - CAMERA_HEIGHT / 2;
    bool inside = dx * dx + dy * dy < (long)CAMERA_HEIGHT * CAMERA_HEIGHT / 9;
    uint16_t colour = inside ? 0xd69a : 0x18e3;
    cameraRow[2 * x] = colour >> 8;
    cameraRow[2 * x + 1] = colour & 255;
  }
}

void setup() {
  Serial.begin(115200);
}

void loop() {
  unsigned long began = millis();
  int y = 0;
  int status = {{ prefix }}_init(&state, arena.bytes, sizeof arena.bytes);
  if (status == EXN_ROW) {
    status = exn_camera_init(&camera, &state, CAMERA_FORMAT, CAMERA_WIDTH, CAMERA_HEIGHT, EXN_BOX, sums, sizeof sums);
  }
  while (status == EXN_ROW || (status == EXN_EXIT && !{{ prefix }}_result(&state)->leave)) {
    if (status == EXN_EXIT) {
      status = {{ prefix }}_step(&state); /* not sure yet: on to the next exit */
    } else {
      cameraReadRow(y++);
      status = exn_camera_push(&camera, &state, cameraRow);
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
