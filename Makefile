# Every target sets up what it needs: a virtual environment in .venv, made once from any Python >= 3.11.
PYTHON ?= python3
BIN := .venv/bin
# One BLAS thread: the time of a run depends less on what else the machine does.
export OPENBLAS_NUM_THREADS := 1

.PHONY: clean docs figures films gpu-compile gpu-measure lint mutate notebooks report test types verify verify-full verify-learned verify-learned-full verify-questions verify-questions-full wrong-lives

verify: .venv/installed  ## the main job: run every study at quick size and print the verdicts
	$(BIN)/attnflow verify --quick

verify-full: .venv/installed  ## the same at full size; resumes when interrupted
	$(BIN)/attnflow verify --full

verify-learned: .venv/installed  ## train attention whose metric is learned, and print the verdicts
	$(BIN)/attnflow verify --quick --subject learned

verify-learned-full: .venv/installed  ## the same with all seeds, data sets and protocols; resumes when interrupted
	$(BIN)/attnflow verify --full --subject learned

verify-questions: .venv/installed  ## measure what no paper has answered, and print the verdicts
	$(BIN)/attnflow verify --quick --subject questions

verify-questions-full: .venv/installed  ## the same at full size; resumes when interrupted
	$(BIN)/attnflow verify --full --subject questions

wrong-lives: .venv/installed  ## every study at quick size with each life wrong by a named amount: which claims notice
	$(BIN)/python tests/wrong_lives.py

test: .venv/installed  ## all tests, two files at a time
	$(BIN)/pytest -q -n 2 --dist loadfile --no-loadscope-reorder  # the long files of few tests would come last

mutate: .venv/installed  ## change the judge and the reading of records in every small way; an hour or more: what no test notices
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test,mutation]'
	$(BIN)/mutmut run
	$(BIN)/mutmut results

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/installed
	$(BIN)/mypy

figures: .venv/installed  ## redraw figures/ from the records
	$(BIN)/attnflow plot --all

films: .venv/installed  ## write the films of docs/films anew
	$(BIN)/python docs/films.py

notebooks: .venv/installed  ## run notebooks/ and write them with their outputs into .attnflow/notebooks
	$(BIN)/python notebooks/execute.py .attnflow/notebooks

report: .venv/installed  ## one HTML page with every claim, the summary in the README, and docs/claims.md
	$(BIN)/attnflow report

docs: .venv/installed  ## the documentation as a site in site/, to be read from the disk
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("attnflow needs Python 3.11 or newer, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test,dev]'
	touch $@

clean:
	rm -rf .venv .venv-gpu .attnflow mutants site

gpu-measure: .venv/installed  ## time the GPU sums on a GPU that is here, with their errors; the table in docs/gpu.md
	$(BIN)/python tests/gpu_measure.py

gpu-compile:  ## compile the GPU programs for a GPU that need not be here; registers and spills
	test -x .venv-gpu/bin/python || $(PYTHON) -m venv .venv-gpu
	.venv-gpu/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable . absl-py jax-cuda13-plugin jax-cuda13-pjrt nvidia-cuda-nvcc nvidia-cuda-runtime
	.venv-gpu/bin/python tests/gpu_compile.py
