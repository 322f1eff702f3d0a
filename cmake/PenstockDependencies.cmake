# Every third-party library is found here and only here; folders link the targets by name.
find_package(Threads REQUIRED)
find_package(absl REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(PostgreSQL REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(spdlog REQUIRED)
find_package(fmt REQUIRED)
find_package(Boost 1.81 REQUIRED COMPONENTS json url)

pkg_check_modules(CARES REQUIRED IMPORTED_TARGET libcares)
pkg_check_modules(LIBCBOR REQUIRED IMPORTED_TARGET libcbor)
pkg_check_modules(SECP256K1 REQUIRED IMPORTED_TARGET libsecp256k1)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)

find_path(CLI11_INCLUDE_DIR CLI/CLI.hpp REQUIRED)
find_path(TOMLPLUSPLUS_INCLUDE_DIR toml++/toml.h REQUIRED)

# Header-only libraries as targets, so that their warnings stay theirs (SYSTEM).
add_library(penstock_cli11 INTERFACE)
add_library(penstock::cli11 ALIAS penstock_cli11)
target_include_directories(penstock_cli11 SYSTEM INTERFACE "${CLI11_INCLUDE_DIR}")
add_library(penstock_toml INTERFACE)
add_library(penstock::toml ALIAS penstock_toml)
target_include_directories(penstock_toml SYSTEM INTERFACE "${TOMLPLUSPLUS_INCLUDE_DIR}")

# Boost.Asio and Beast with the macros that every user of them must agree on.
add_library(penstock_beast INTERFACE)
add_library(penstock::beast ALIAS penstock_beast)
target_link_libraries(penstock_beast INTERFACE Boost::headers OpenSSL::SSL OpenSSL::Crypto Threads::Threads)
target_compile_definitions(penstock_beast INTERFACE BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_NO_TS_EXECUTORS)
