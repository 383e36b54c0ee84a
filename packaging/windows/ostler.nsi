; The Windows installer: for one user, without an administrator. Made by `build` beside this file.
;   VERSION  the version, as 0.1.0
;   PROGRAM  the program to pack
;   WINDOWLESS  the same without a console window, for everything that is not a command line
;   OUTPUT   the installer to write
;   ICON     its icon (left out: that of NSIS)
;   TARGET   the kind of installer (left out: the usual one, which runs on every Windows)
Unicode true
!ifdef TARGET
  Target ${TARGET}
!endif
!include "MUI2.nsh"
!include "FileFunc.nsh"

Name "ostler"
OutFile "${OUTPUT}"
RequestExecutionLevel user
InstallDir "$LOCALAPPDATA\Programs\ostler"
; A second installation goes where the first one went.
InstallDirRegKey HKCU "Software\ostler" "Folder"
SetCompressor /SOLID lzma
; The same input gives the same installer.
SetDateSave off
VIProductVersion "${VERSION}.0"
VIAddVersionKey "ProductName" "ostler"
VIAddVersionKey "FileDescription" "Installs ostler"
VIAddVersionKey "FileVersion" "${VERSION}"
VIAddVersionKey "LegalCopyright" "the ostler authors; MIT or Apache-2.0"
!ifdef ICON
  !define MUI_ICON "${ICON}"
  !define MUI_UNICON "${ICON}"
!endif

!define UNINSTALL "Software\Microsoft\Windows\CurrentVersion\Uninstall\ostler"

!insertmacro MUI_PAGE_WELCOME
!insertmacro MUI_PAGE_DIRECTORY
!define MUI_COMPONENTSPAGE_NODESC
!insertmacro MUI_PAGE_COMPONENTS
!insertmacro MUI_PAGE_INSTFILES
!define MUI_FINISHPAGE_RUN "$INSTDIR\ostlerw.exe"
!insertmacro MUI_PAGE_FINISH
!insertmacro MUI_UNPAGE_CONFIRM
!insertmacro MUI_UNPAGE_INSTFILES
!insertmacro MUI_LANGUAGE "English"
!insertmacro MUI_LANGUAGE "German"

; Whether it is installed already, and whether it ran.
Var Upgrade
Var Ran

; Ends the ostler that runs, sessions in the middle of a message first. $Ran is "0" then, as the command says it.
!macro Quit
  StrCpy $Ran ""
  IfFileExists "$INSTDIR\ostler.exe" 0 +3
    nsExec::ExecToLog '"$INSTDIR\ostler.exe" quit'
    Pop $Ran
!macroend

; Windows does not replace a program that runs, and one with other settings than the usual goes on running. Moving it aside
; works.
!macro MoveAside NAME
  ; The one that an earlier version left.
  Delete "$INSTDIR\${NAME}.old.exe"
  IfFileExists "$INSTDIR\${NAME}.exe" 0 +3
    Rename "$INSTDIR\${NAME}.exe" "$INSTDIR\${NAME}.old.exe"
    Delete "$INSTDIR\${NAME}.old.exe"
!macroend

Section "ostler" Main
  SectionIn RO
  SetOutPath "$INSTDIR"
  !insertmacro Quit
  !insertmacro MoveAside ostler
  !insertmacro MoveAside ostlerw
  File "/oname=ostler.exe" "${PROGRAM}"
  File "/oname=ostlerw.exe" "${WINDOWLESS}"
  !ifdef ICON
    File "/oname=ostler.ico" "${ICON}"
  !endif
  File "/oname=LICENSE-MIT.txt" "..\..\LICENSE-MIT"
  File "/oname=LICENSE-APACHE.txt" "..\..\LICENSE-APACHE"
  File "/oname=README.md" "..\..\README.md"
  WriteUninstaller "$INSTDIR\uninstall.exe"
  WriteRegStr HKCU "Software\ostler" "Folder" "$INSTDIR"
  WriteRegStr HKCU "${UNINSTALL}" "DisplayName" "ostler"
  WriteRegStr HKCU "${UNINSTALL}" "DisplayVersion" "${VERSION}"
  WriteRegStr HKCU "${UNINSTALL}" "Publisher" "the ostler authors"
  WriteRegStr HKCU "${UNINSTALL}" "DisplayIcon" "$INSTDIR\ostler.ico"
  WriteRegStr HKCU "${UNINSTALL}" "InstallLocation" "$INSTDIR"
  WriteRegStr HKCU "${UNINSTALL}" "UninstallString" '"$INSTDIR\uninstall.exe"'
  WriteRegStr HKCU "${UNINSTALL}" "QuietUninstallString" '"$INSTDIR\uninstall.exe" /S'
  WriteRegDWORD HKCU "${UNINSTALL}" "NoModify" 1
  WriteRegDWORD HKCU "${UNINSTALL}" "NoRepair" 1
  ${GetSize} "$INSTDIR" "/S=0K" $0 $1 $2
  WriteRegDWORD HKCU "${UNINSTALL}" "EstimatedSize" "$0"
SectionEnd

Section "Start menu" StartMenu
  CreateShortcut "$SMPROGRAMS\ostler.lnk" "$INSTDIR\ostlerw.exe" "" "$INSTDIR\ostler.ico"
SectionEnd

; ostler writes it down itself, so that `ostler autostart` and the installer mean the same.
Section "Start when I log in" StartAtLogin
  nsExec::ExecToLog '"$INSTDIR\ostler.exe" autostart on'
  Pop $0
  StrCmp $0 "0" +2
    MessageBox MB_OK|MB_ICONEXCLAMATION "ostler could not be made to start when you log in. Later, `ostler autostart on` in a command window tries it again and says why not." /SD IDOK
SectionEnd

; One that ran goes on, with the new program; the last of all, so that it finds everything in its place.
Section "-Start again"
  StrCmp $Ran "0" 0 +2
    Exec '"$INSTDIR\ostlerw.exe" --silent'
SectionEnd

; Whoever has switched off the start at login does not want an upgrade to switch it on.
Function .onInit
  ReadRegStr $Upgrade HKCU "Software\ostler" "Folder"
  StrCmp $Upgrade "" done
  ReadRegStr $0 HKCU "Software\Microsoft\Windows\CurrentVersion\Run" "ostler"
  StrCmp $0 "" 0 done
    !insertmacro UnselectSection ${StartAtLogin}
  done:
FunctionEnd

Section "Uninstall"
  !insertmacro Quit
  nsExec::ExecToLog '"$INSTDIR\ostler.exe" autostart off'
  Pop $0
  ; A silent one keeps everything, unless it is told /PURGE.
  ${GetParameters} $0
  ClearErrors
  ${GetOptions} $0 "/PURGE" $1
  IfErrors 0 purge
  MessageBox MB_YESNO|MB_ICONQUESTION|MB_DEFBUTTON2 "Remove your settings and the passwords ostler has stored, too?$\r$\n$\r$\nNo keeps them for another installation." /SD IDNO IDNO keep
  purge:
    ; Each account with its passwords, while the program is still there.
    nsExec::ExecToLog '"$INSTDIR\ostler.exe" remove --all --yes'
    Pop $0
    RMDir /r "$APPDATA\ostler"
  keep:
  !insertmacro MoveAside ostler
  !insertmacro MoveAside ostlerw
  Delete "$INSTDIR\ostler.ico"
  Delete "$INSTDIR\LICENSE-MIT.txt"
  Delete "$INSTDIR\LICENSE-APACHE.txt"
  Delete "$INSTDIR\README.md"
  Delete "$INSTDIR\uninstall.exe"
  RMDir "$INSTDIR"
  Delete "$SMPROGRAMS\ostler.lnk"
  RMDir /r "$LOCALAPPDATA\ostler"
  DeleteRegKey HKCU "${UNINSTALL}"
  DeleteRegKey HKCU "Software\ostler"
SectionEnd
