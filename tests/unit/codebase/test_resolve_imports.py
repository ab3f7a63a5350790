"""What imports mean, language by language."""

from typing import Any

import pytest

from contexten_core.codebase.commit import FileSummary
from contexten_core.codebase.import_settings import import_settings
from contexten_core.codebase.languages import language_by_path
from contexten_core.codebase.resolve_imports import Resolver

PACKAGES = {
    "java/com/acme/Order.java": "com.acme",
    "java/com/acme/Item.java": "com.acme",
    "java/com/acme/tax/Rates.java": "com.acme.tax",
    "cs/Billing.cs": "Acme.Billing",
    "php/src/Billing/Invoice.php": "Acme\\Billing",
}
PATHS = (
    *("setup.py", "shop/__init__.py", "shop/cart.py", "shop/tax/__init__.py", "shop/tax/rates.py", "scripts/run.py"),
    *("scripts/helper.py", "service/pyproject.toml", "service/src/api/__init__.py", "service/src/api/views.pyi"),
    *("web/tsconfig.json", "web/src/app.ts", "web/src/shapes/index.ts", "web/src/shapes/circle.tsx", "web/src/old.js"),
    *("packages/ui/package.json", "packages/ui/src/index.ts", "packages/ui/button.js"),
    *("go.mod", "cmd/main.go", "pkg/money/money.go", "pkg/money/round.go", "pkg/money/money_test.go"),
    *("crates/core/Cargo.toml", "crates/core/src/lib.rs", "crates/core/src/money.rs", "crates/core/src/tax/mod.rs"),
    *("crates/core/src/tax/rates.rs", "crates/cli/src/main.rs"),
    *("lib/shop.rb", "lib/shop/order.rb", "bin/run.rb"),
    *("include/acme/list.h", "src/list.c", "src/list.h", "deep/src/vendor/zip.h"),
    *("bin/deploy.sh", "bin/lib/common.sh"),
    *PACKAGES,
)
MANIFESTS = {
    "setup.py": b"",
    "service/pyproject.toml": b"",
    "go.mod": b"module example.com/acme/shop\n\ngo 1.22\n",
    "crates/core/Cargo.toml": b'[package]\nname = "acme-core"\n',
    "packages/ui/package.json": b'{"name": "@acme/ui", "main": "dist/index.js"}',
    "web/tsconfig.json": b'{"compilerOptions": {"baseUrl": ".", "paths": {"@app/*": ["src/*"],}, /* more */ }}',
}


@pytest.fixture(scope="module")
def resolver() -> Resolver:
    files = {}
    for path in sorted(PATHS):
        language = language_by_path(path)
        files[path] = FileSummary(
            path, "", "", language=language.name if language else None, package=PACKAGES.get(path)
        )
    settings: dict[str, dict[str, Any]] = {
        path: import_settings(path, data) or {} for path, data in sorted(MANIFESTS.items())
    }
    return Resolver(files, settings)


@pytest.mark.parametrize(
    ("path", "module", "names", "found"),
    [
        ("shop/cart.py", ".tax", (), "shop/tax/__init__.py"),
        ("shop/cart.py", ".tax", ("rates",), "shop/tax/rates.py"),
        ("shop/cart.py", ".tax.rates", ("VAT",), "shop/tax/rates.py"),
        ("shop/tax/rates.py", "..", ("cart",), "shop/cart.py"),
        ("shop/tax/rates.py", "..", ("cart", "NAME"), "shop/cart.py shop/__init__.py"),
        ("scripts/run.py", "shop.tax.rates", (), "shop/tax/rates.py"),
        ("scripts/run.py", "shop.tax._generated", (), "shop/tax/__init__.py"),
        ("scripts/run.py", "helper", (), "scripts/helper.py"),
        ("service/src/api/__init__.py", "api.views", ("*",), "service/src/api/views.pyi"),
        ("web/src/app.ts", "./shapes", ("Circle",), "web/src/shapes/index.ts"),
        ("web/src/app.ts", "./shapes/circle.js", (), "web/src/shapes/circle.tsx"),
        ("web/src/shapes/circle.tsx", ".", (), "web/src/shapes/index.ts"),
        ("web/src/app.ts", "@app/old", (), "web/src/old.js"),
        ("web/src/app.ts", "@acme/ui", (), "packages/ui/src/index.ts"),
        ("web/src/app.ts", "@acme/ui/button", (), "packages/ui/button.js"),
        ("cmd/main.go", "example.com/acme/shop/pkg/money", (), "pkg/money/money.go pkg/money/round.go"),
        ("crates/core/src/lib.rs", "self::money", (), "crates/core/src/money.rs"),
        ("crates/core/src/tax/rates.rs", "crate::money", ("Money",), "crates/core/src/money.rs"),
        ("crates/core/src/tax/rates.rs", "super", ("Tax",), "crates/core/src/tax/mod.rs"),
        ("crates/cli/src/main.rs", "acme_core::tax::rates", ("VAT",), "crates/core/src/tax/rates.rs"),
        ("java/com/acme/tax/Rates.java", "com.acme.Order", (), "java/com/acme/Order.java"),
        ("java/com/acme/Order.java", "com.acme.tax.Rates.VAT", (), "java/com/acme/tax/Rates.java"),
        ("java/com/acme/tax/Rates.java", "com.acme", ("*",), "java/com/acme/Item.java java/com/acme/Order.java"),
        ("php/src/Billing/Invoice.php", "Acme\\Billing\\Invoice", (), ""),
        ("cs/Billing.cs", "Acme.Billing", (), ""),
        ("bin/run.rb", "shop/order", (), "lib/shop/order.rb"),
        ("lib/shop.rb", "./shop/order", (), "lib/shop/order.rb"),
        ("src/list.c", "list.h", (), "src/list.h"),
        ("src/list.c", "acme/list.h", (), "include/acme/list.h"),
        ("src/list.c", "vendor/zip.h", (), "deep/src/vendor/zip.h"),
        ("bin/deploy.sh", '$(dirname "$0")/lib/common.sh', (), "bin/lib/common.sh"),
    ],
)
def test_what_is_in_the_repository(
    resolver: Resolver, path: str, module: str, names: tuple[str, ...], found: str
) -> None:
    assert resolver.resolve(path, ((module, names),)) == (tuple(sorted(found.split())), ())


@pytest.mark.parametrize(
    ("path", "module", "name"),
    [
        ("shop/cart.py", "os.path", "os"),
        ("web/src/app.ts", "react/jsx-runtime", "react"),
        ("web/src/app.ts", "@scope/thing/deep", "@scope/thing"),
        ("cmd/main.go", "net/http", "net/http"),
        ("cmd/main.go", "github.com/pkg/errors/deep", "github.com/pkg/errors"),
        ("crates/cli/src/main.rs", "serde::de", "serde"),
        ("java/com/acme/Order.java", "java.util.List", "java.util"),
        ("bin/run.rb", "json", "json"),
        ("src/list.c", "<stdio.h>", "stdio.h"),
    ],
)
def test_what_comes_from_outside(resolver: Resolver, path: str, module: str, name: str) -> None:
    assert resolver.resolve(path, ((module, ()),)) == ((), (name,))


@pytest.mark.parametrize("module", ["", ".", "....x", "/", "../../../../etc/passwd", "\0", "*", "a" * 10_000, "x::::y"])
def test_nonsense_means_nothing(resolver: Resolver, module: str) -> None:
    for path in PATHS:
        inside, _ = resolver.resolve(path, ((module, ("*", "", "..")),))
        assert set(inside) <= set(PATHS)
