"""Goals: levels, sentences, the spec that travels with a model, and the chat template that carries it. No torch."""
