'use strict';

monosem.router.start();
