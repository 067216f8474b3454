"""The JSON schema of benchmark files, for editors."""

from typing import Any

from resnet18.spec.benchmark import Benchmark
from resnet18.spec.experiment import Execution, Experiment
from resnet18.spec.scale import SCALE_KEYS


def spec_schema() -> dict[str, Any]:
    """Return the schema of a TOML file, in which `experiment` and `execution` may name any of their keys."""
    schema = Benchmark.model_json_schema(by_alias=True)
    definitions = schema.setdefault("$defs", {})
    for name, model in (("Experiment", Experiment), ("Execution", Execution)):
        part = model.model_json_schema(ref_template="#/$defs/{model}")
        definitions.update(part.pop("$defs", {}))
        part.pop("required", None)
        for key in SCALE_KEYS:
            part["properties"].pop(key, None)
        definitions[name] = part
        for place in (schema, definitions["Case"]):
            place["properties"][name.lower()] = {"$ref": f"#/$defs/{name}"}
    schema["properties"].pop("name")
    schema["required"] = [key for key in schema["required"] if key != "name"]
    return schema
