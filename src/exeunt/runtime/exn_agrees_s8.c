#include "exn_s8.h"

int exn_agrees_s8(const exn_model *model, const uint8_t *arena, uint8_t exit, exn_said *said)
{
    const exn_tolerance_s8 *tolerance = model->policy->tolerance;
    const int16_t *scores = (const void *)(arena + model->rings[model->logits[exit]].places[0]);
    int64_t value = (int64_t)scores[0] * tolerance->worths[exit];
    int64_t before = exit > 0 ? (int64_t)said->whole * tolerance->worths[exit - 1] : 0;
    int64_t apart = value > before ? value - before : before - value;
    said->whole = scores[0];
    return exit > 0 && apart < tolerance->eta;
}
