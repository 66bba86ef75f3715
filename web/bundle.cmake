# cmake -DESBUILD= -DGZIP= -DSRC= -DOUT= -P bundle.cmake
# Makes OUT/dist (the files a browser gets), then OUT/page_bytes.S and OUT/page_table.inc, which embed them.
# Same sources, same bytes: nothing here depends on time, host or path.
cmake_minimum_required(VERSION 3.25)
set(libraries $ENV{XH_PAGE_LIBRARIES})  # where marked, dompurify and highlight.js are
set(katex $ENV{XH_PAGE_KATEX})          # where katex.mjs, katex.min.css and fonts/ are
if(NOT libraries)
  set(libraries /usr/share/nodejs)
endif()
if(NOT katex)
  set(katex /usr/share/javascript/katex)
endif()
foreach(needed ${libraries}/marked ${libraries}/dompurify ${libraries}/highlight.js ${katex}/katex.mjs ${katex}/fonts)
  if(NOT EXISTS ${needed})
    message(FATAL_ERROR "The page needs ${needed}. Install: node-marked node-dompurify node-highlight.js libjs-katex "
                        "fonts-katex (or set XH_PAGE_LIBRARIES and XH_PAGE_KATEX to where they are)")
  endif()
endforeach()
set(dist ${OUT}/dist)
file(REMOVE_RECURSE ${dist} ${OUT}/formulas)
file(MAKE_DIRECTORY ${dist}/fonts ${OUT}/formulas)

# KaTeX's stylesheet offers three font formats; every browser that runs the page reads WOFF2.
file(READ ${katex}/katex.min.css css)
string(REGEX REPLACE ",url\\([^)]*\\.(woff|ttf)\\) format\\(.(woff|truetype).\\)" "" css "${css}")
file(WRITE ${OUT}/formulas/katex.css "${css}")
configure_file(${katex}/katex.mjs ${OUT}/formulas/katex.mjs COPYONLY)
file(GLOB fonts ${katex}/fonts/*.woff2)
file(COPY ${fonts} DESTINATION ${dist}/fonts FOLLOW_SYMLINK_CHAIN)

# Debian 12's DOMPurify (2.4.1+dfsg+~2.4.0-2+deb12u1) reads a variable `shadowNode` in sanitize() that it declares in
# another function only, so every call throws. The definition gives that free name a value on which the check is false,
# as it is in the original; names that are declared, and repaired packages, are not affected.
execute_process(
  COMMAND ${CMAKE_COMMAND} -E env NODE_PATH=${libraries}:${OUT}
          ${ESBUILD} app=${SRC}/src/main.ts boot=${SRC}/src/boot.ts style=${SRC}/css/index.css
          --bundle --minify --format=iife --target=es2020 --charset=utf8 --external:fonts/* --define:shadowNode=0
          --legal-comments=eof --outdir=${dist} --log-level=warning
  RESULT_VARIABLE failed)
if(failed)
  message(FATAL_ERROR "esbuild could not bundle the page")
endif()
configure_file(${SRC}/index.html ${dist}/index.html COPYONLY)
configure_file(${SRC}/icon.svg ${dist}/icon.svg COPYONLY)

set(type_html "text/html; charset=utf-8")
set(type_js "text/javascript; charset=utf-8")
set(type_css "text/css; charset=utf-8")
set(type_svg "image/svg+xml")
set(type_woff2 "font/woff2")

file(GLOB_RECURSE names RELATIVE ${dist} ${dist}/*)
set(entries)
foreach(name IN LISTS names)
  if(name STREQUAL "index.html")
    list(APPEND entries "/=${name}")
  else()
    list(APPEND entries "/${name}=${name}")
  endif()
endforeach()
list(SORT entries COMPARE STRING)

set(asm "  .section .rodata\n")
set(rows "")
set(externs "")
set(index 0)
function(embed symbol file)
  set(asm "${asm}  .globl ${symbol}, ${symbol}_end\n${symbol}:\n  .incbin \"${file}\"\n${symbol}_end:\n" PARENT_SCOPE)
  set(externs "${externs}extern const unsigned char ${symbol}[], ${symbol}_end[];\n" PARENT_SCOPE)
endfunction()
foreach(entry IN LISTS entries)
  string(REGEX MATCH "^(.*)=(.*)$" _ "${entry}")
  set(path ${CMAKE_MATCH_1})
  set(name ${CMAKE_MATCH_2})
  string(REGEX MATCH "[^.]*$" extension ${name})
  file(SHA256 ${dist}/${name} digest)
  string(SUBSTRING ${digest} 0 20 tag)
  set(symbol xh_page_${index})
  embed(${symbol} ${dist}/${name})
  set(gzip "{}")
  if(NOT extension STREQUAL "woff2")  # already compressed
    set(packed ${OUT}/page_${index}.gz)
    execute_process(COMMAND ${GZIP} -9 -n -c ${dist}/${name} OUTPUT_FILE ${packed} COMMAND_ERROR_IS_FATAL ANY)
    embed(${symbol}_gz ${packed})
    set(gzip "{${symbol}_gz, ${symbol}_gz_end}")
  endif()
  string(APPEND rows "    {\"${path}\", \"${type_${extension}}\", \"\\\"${tag}\\\"\", {${symbol}, ${symbol}_end}, ${gzip}},\n")
  math(EXPR index "${index} + 1")
endforeach()
string(APPEND asm "  .section .note.GNU-stack,\"\",%progbits\n")

file(READ ${SRC}/security_policy.txt policy)  # not file(STRINGS): it would escape the semicolons
string(STRIP "${policy}" policy)
file(WRITE ${OUT}/page_bytes.S "${asm}")
file(WRITE ${OUT}/page_table.inc "extern \"C\" {\n${externs}}\n"
     "static const xh::PageFile kPageTable[] = {\n${rows}};\n"
     "static constexpr std::string_view kSecurityPolicy = R\"CSP(${policy})CSP\";\n")
