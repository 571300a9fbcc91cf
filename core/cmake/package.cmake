# SPDX-License-Identifier: MIT
# A Debian package: `cpack` in the build folder, then `apt-get install ./shunt_*.deb`.

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME shunt)
set(CPACK_PACKAGE_CONTACT "the authors of shunt <shunt@invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "testbed for research on user-level task schedulers")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_VERBATIM_VARIABLES YES)
set(CPACK_STRIP_FILES YES)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_COMPRESSION_TYPE gzip)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "python3-scipy, python3-matplotlib, cmake, gcc")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS python3)
find_program(SHUNT_SHLIBDEPS dpkg-shlibdeps)
if(SHUNT_SHLIBDEPS)
  set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS YES)    # what the programs and the library link with
endif()
include(CPack)

# Built, installed below a folder of its own, tried, removed.
function(shunt_test_package)
  find_program(SHUNT_DPKG dpkg)
  if(TARGET shunt_shared AND TARGET shunt AND SHUNT_PYTHON AND SHUNT_DPKG AND SHUNT_SHLIBDEPS)
    shunt_test(package LABELS tools long COST 15 COMMAND ${SHUNT_PYTHON}
        ${PROJECT_SOURCE_DIR}/core/test/package.py ${PROJECT_BINARY_DIR} ${CMAKE_CPACK_COMMAND})
  endif()
endfunction()
