"""Pages that the program writes are those in docs/: generated_docs_test.py PROGRAM"""

import subprocess
import sys
import unittest
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"


class GeneratedDocs(unittest.TestCase):
    def test_configuration_page_is_what_the_program_prints(self):
        printed = subprocess.run([PROGRAM, "configuration"], capture_output=True, text=True,
                                 check=True, timeout=30).stdout
        page = (DOCS / "configuration.md").read_text(encoding="utf-8")
        self.assertEqual(page, printed, "docs/configuration.md is out of date: run make docs")

    def test_openapi_documents_are_what_the_program_prints(self):
        for name, service in (("swagger", "api-gateway"), ("queue-service", "queue-service")):
            for form in ("json", "yaml"):
                with self.subTest(name=name, form=form):
                    printed = subprocess.run(
                        [PROGRAM, "openapi", "--service", service, "--format", form],
                        capture_output=True, text=True, check=True, timeout=30).stdout
                    page = (DOCS / "swagger" / f"{name}.{form}").read_text(encoding="utf-8")
                    self.assertEqual(page, printed, "docs/swagger is out of date: run make openapi")


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main()
