"""environment.yml (conda) and pyproject.toml (pip) ask for the same things."""

import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]

# conda-forge's name -> PyPI's, where they differ.
PYPI_NAMES = {"pytorch": "torch", "matplotlib-base": "matplotlib"}
# What only a conda environment names: pip installs the project itself.
CONDA_ONLY = {"pip"}


def bounds(lines: list[str]) -> dict[str, SpecifierSet]:
    requirements = [Requirement(line) for line in lines]
    return {PYPI_NAMES.get(each.name, each.name): each.specifier for each in requirements}


@pytest.fixture
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture
def environment() -> list:
    return yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]


def test_conda_and_pip_ask_for_the_same_packages_and_versions(project, environment):
    asked_of_conda = bounds([entry for entry in environment if isinstance(entry, str)])
    asked_of_pip = bounds(
        [
            f"python{project['requires-python']}",
            *project["dependencies"],
            *project["optional-dependencies"]["lab"],
        ]
    )
    assert {name: asked_of_conda[name] for name in asked_of_conda.keys() - CONDA_ONLY} == asked_of_pip


def test_pip_adds_nothing_but_the_project_to_a_conda_environment(environment):
    assert [entry for entry in environment if not isinstance(entry, str)] == [{"pip": ["-e ."]}]
